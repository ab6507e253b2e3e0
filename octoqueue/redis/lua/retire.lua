-- Purpose    Forget a worker session: at its own wish, or because it expired and was reclaimed.
-- Guarantee  A session that is alive is only forgotten at its own wish.
-- KEYS       [1] workers zset
-- ARGV       [1] now in ms, or 0   [2] session   [3] at its own wish (0/1)
-- Returns    1 when it was forgotten, 0 when it lives
--#include now

local expires_at = redis.call('ZSCORE', KEYS[1], ARGV[2])
if expires_at and ARGV[3] == '0' and tonumber(expires_at) > now_ms(ARGV[1]) then return 0 end
redis.call('ZREM', KEYS[1], ARGV[2])
return 1
