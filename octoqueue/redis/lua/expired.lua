-- Purpose    Name the worker sessions whose lease has run out, oldest first.
-- KEYS       [1] workers zset
-- ARGV       [1] now in ms, or 0   [2] how many at most
-- Returns    array of sessions
--#include now

return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms(ARGV[1]), 'LIMIT', 0, ARGV[2])
