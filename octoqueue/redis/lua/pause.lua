-- Purpose    Pause a queue, or resume it.
-- Guarantee  From a paused queue nothing is claimed; what goes in waits. Resuming rings its bell.
-- KEYS       [1] stats hash   [2] doorbell, when the call has it
-- ARGV       [1] pause (1) or resume (0)
-- Returns    1 when this changed something, else 0
--#include doorbell

if ARGV[1] == '1' then return redis.call('HSET', KEYS[1], 'paused', 1) end
ring(KEYS[2])
return redis.call('HDEL', KEYS[1], 'paused')
