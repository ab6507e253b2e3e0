-- Purpose    Tell when the next worker session expires unless it renews itself.
-- KEYS       [1] workers zset
-- ARGV       [1] now in ms, or 0
-- Returns    ms from now, 0 when one has expired; -1 when there is no session
--#include now

local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return first[2] and math.max(tonumber(first[2]) - now_ms(ARGV[1]), 0) or -1
