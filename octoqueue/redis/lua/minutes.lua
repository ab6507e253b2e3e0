-- Purpose    Read what happened in some queues by the second. Writes nothing.
-- KEYS       for each queue: [1] stats hash   [2] tallies
-- ARGV       [1] now in ms, or 0
-- Returns    [1] now in ms, then for each queue its tallies, empty when nothing ever happened, and its
--            counters (field, value, …)
--#include now

local answer = { now_ms(ARGV[1]) }
for at = 1, #KEYS, 2 do
  answer[at + 1] = redis.call('GET', KEYS[at + 1]) or ''
  answer[at + 2] = redis.call('HGETALL', KEYS[at])
end
return answer
