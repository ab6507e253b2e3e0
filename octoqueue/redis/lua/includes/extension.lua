-- The extension behind the header; layout as in primitives/extension.py, offsets counted from 1.
local EXTENDED = 2
local UNIQUE, FLOW, TENANT, CAP, LIMIT = 1, 2, 3, 4, 5
local UNTIL_STARTED, UNTIL_DONE, FOR_A_WINDOW = 1, 2, 3

local byte, sub = string.byte, string.sub
local NONE = {}

local function is_extended(payload)
  return byte(payload, 4) % (2 * EXTENDED) >= EXTENDED
end

-- What the extension says: unique = { mode, digest, window in ms }, flow, tenant, caps = { name… },
-- limits = { { units, name, key }… }. nil when there is none, or when it is cut off: what cannot be
-- read must not stop a script; the worker that claims it buries it.
local function extension_of(payload)
  if not is_extended(payload) or #payload < HEADER_BYTES + 2 then return nil end
  local found, high, low = { tenant = '', caps = NONE, limits = NONE }, byte(payload, HEADER_BYTES + 1, HEADER_BYTES + 2)
  local at, stop = HEADER_BYTES + 3, HEADER_BYTES + 2 + 256 * high + low
  if #payload < stop then return nil end
  while at <= stop do
    local kind, length = byte(payload, at, at + 1)
    if not length or at + 1 + length > stop then return nil end
    local value = sub(payload, at + 2, at + 1 + length)
    at = at + 2 + length
    if kind == FLOW then
      found.flow = value
    elseif kind == TENANT then
      found.tenant = value
    elseif kind == CAP then
      if found.caps == NONE then found.caps = {} end
      table.insert(found.caps, value)
    elseif kind == LIMIT then
      if #value < 5 then return nil end
      local units, size = struct.unpack('>I4B', value)
      if found.limits == NONE then found.limits = {} end
      table.insert(found.limits, { units, sub(value, 6, 5 + size), sub(value, 6 + size) })
    elseif kind == UNIQUE then
      local window = byte(value, 1) == FOR_A_WINDOW
      if #value < (window and 25 or 17) then return nil end
      found.unique = { byte(value, 1), sub(value, 2, 17), window and struct.unpack('>I8', value, 18) or 0 }
    end
  end
  return found
end
