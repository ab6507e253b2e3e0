-- Purpose    End a worker session at its own wish, or forget one that has expired and was reclaimed.
-- Guarantee  A session that is alive is only ended at its own wish, and then it expires now: what it
--            still holds (the answer to a claim or a release may have been lost) is reclaimed.
-- KEYS       [1] workers zset   [2] presences hash
-- ARGV       [1] now in ms, or 0   [2] session   [3] at its own wish (0/1)
-- Returns    1 when it was ended or forgotten, 0 when it lives
--#include now

local now = now_ms(ARGV[1])
local expires_at = redis.call('ZSCORE', KEYS[1], ARGV[2])
if ARGV[3] == '1' then
  redis.call('HDEL', KEYS[2], ARGV[2])
  if expires_at and tonumber(expires_at) > now then redis.call('ZADD', KEYS[1], now, ARGV[2]) end
  return 1
end
if expires_at and tonumber(expires_at) > now then return 0 end
redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[2])
return 1
