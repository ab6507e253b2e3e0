-- Purpose    Name the worker sessions whose lease has run out, oldest first; and forget locks of
--            unique keys and tombstones of cancelled messages whose time is over.
-- KEYS       [1] workers zset   [2] locks   [3] when they end   [4] tombstones   [5] when they end
-- Guarantee  After the clock was set back nobody lives longer than a lease from now.
-- ARGV       [1] now in ms, or 0   [2] how many at most, of each   [3] lease in ms
-- Returns    array of sessions
--#include now
--#include header
--#include extension
--#include unique

local STEP_MS = 1000

local now = now_ms(ARGV[1])
prune_locks(KEYS[2], KEYS[3], now, ARGV[2])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  redis.call('HDEL', KEYS[4], id)
  redis.call('ZREM', KEYS[5], id)
end
local latest = now + tonumber(ARGV[3])
local after = '(' .. string.format('%.0f', latest + STEP_MS)
for _, session in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], after, '+inf', 'LIMIT', 0, ARGV[2])) do
  redis.call('ZADD', KEYS[1], latest, session)
end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
