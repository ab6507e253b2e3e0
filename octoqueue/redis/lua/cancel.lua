-- Purpose    Cancel a message wherever it is: whoever finds it next ends it. Or take that back,
--            when it was found nowhere, and say what has become of it meanwhile.
-- KEYS       [1] tombstones   [2] when they end
-- ARGV       [1] now in ms, or 0   [2] id   [3] tombstone; empty to take it back
--            [4] for how many ms it stands
-- Returns    0 nothing of it stands (any more), 1 its tombstone stands, or stood until now,
--            2 the message has been ended as cancelled
--#include now

local id, stone = ARGV[2], ARGV[3]
local before = redis.call('HGET', KEYS[1], id)
if before == '' then return 2 end
if stone ~= '' then
  redis.call('HSET', KEYS[1], id, stone)
  redis.call('ZADD', KEYS[2], now_ms(ARGV[1]) + tonumber(ARGV[4]), id)
  return 1
end
if not before then return 0 end
redis.call('HDEL', KEYS[1], id)
redis.call('ZREM', KEYS[2], id)
return 1
