-- Cancelled messages: a tombstone is id -> time to live of the result in ms (8 bytes), result. Who
-- finds the message in his way ends it. The tombstone of one that was ended is empty and stays for
-- a moment, so that who cancelled it learns what became of it.
local MOMENT_MS = 10000

local function is_cancelled(tombstones, id)
  return redis.call('HSTRLEN', tombstones, id) > 0
end

-- Time to live and body of the result of a cancelled message, nil when it is not cancelled.
local function cancelled_result(tombstones, id)
  local stone = redis.call('HGET', tombstones, id)
  if not stone or stone == '' then return nil end
  return struct.unpack('>I8', stone), stone:sub(9)
end

local function has_ended(tombstones, expiries, id, now)
  redis.call('HSET', tombstones, id, '')
  redis.call('ZADD', expiries, now + MOMENT_MS, id)
end
