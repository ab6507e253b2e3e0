-- Ids of messages that may be sent again, in a zset id -> until when; see primitives/once.py.
-- `packed` is: not after (ms), time to remember in doubt (ms), time once settled (ms), settled ids.
local TIMES_BYTES, ID_BYTES, MOST_PRUNED = 24, 16, 5000

local function once_from(packed, key, now)
  if packed == '' then return nil end
  local not_after, in_doubt, settled = struct.unpack('>I8I8I8', packed)
  local expired = math.min(redis.call('ZCOUNT', key, '-inf', now), MOST_PRUNED)
  if expired > 0 then redis.call('ZREMRANGEBYRANK', key, 0, expired - 1) end
  for at = TIMES_BYTES + 1, #packed, ID_BYTES do
    redis.call('ZADD', key, 'XX', now + settled, packed:sub(at, at + ID_BYTES - 1))
  end
  return { key = key, until_ms = now + in_doubt, too_late = now > not_after }
end

local function is_known(once, id) return redis.call('ZSCORE', once.key, id) and true or false end

local function remember(once, id) redis.call('ZADD', once.key, once.until_ms, id) end
