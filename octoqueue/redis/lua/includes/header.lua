-- The envelope header; offsets as in primitives/envelope.py, counted from 1.
local HEADER_BYTES = 32

local function header_is_good(payload)
  return #payload >= HEADER_BYTES
    and payload:byte(1) == 1 and payload:byte(2) == HEADER_BYTES and payload:byte(3) <= 2
end

local function lane_of(payload) return payload:byte(3) + 1 end

local function id_of(payload) return payload:sub(17, 32) end

local function ready_at_of(payload) return (struct.unpack('>I8', payload, 9)) end

-- The payload with another ready_at_ms, already packed.
local function ready_from(payload, packed_ready_at)
  return payload:sub(1, 8) .. packed_ready_at .. payload:sub(17)
end

-- The payload with other deliveries and attempt.
local function counted_as(payload, deliveries, attempt)
  return payload:sub(1, 4) .. struct.pack('>I2I2', math.min(deliveries, 65535), math.min(attempt, 65535))
    .. payload:sub(9)
end

local function deliveries_of(payload) return (struct.unpack('>I2', payload, 5)) end

local function attempt_of(payload) return (struct.unpack('>I2', payload, 7)) end
