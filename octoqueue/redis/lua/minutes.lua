-- Purpose    Read what happened in some queues by the second. Writes nothing.
-- KEYS       tallies of each queue
-- ARGV       [1] now in ms, or 0
-- Returns    [1] now in ms, then for each queue its tallies, empty when nothing ever happened
--#include now

local answer = { now_ms(ARGV[1]) }
for index, tallies in ipairs(KEYS) do answer[index + 1] = redis.call('GET', tallies) or '' end
return answer
