-- Purpose    Read one queue: depths, ages, counters. Writes nothing.
-- KEYS       for each partition: [1] high list, [2] normal list, [3] low list, [4] delayed zset,
--            [5] dead zset, [6] stats hash; at the end the queue's 12 line keys
-- ARGV       [1] now in ms, or 0   [2] partitions
-- Returns    [1] high [2] normal [3] low [4] delayed [5] dead [6] age of the oldest waiting in ms
--            [7] counters as field, value, field, value, … (fields may repeat; they add up)
--            [8] of [1] to [3], those that all wait for a closed gate
-- Bound      the oldest is looked for in the first 200 lines of a lane
--#include now
--#include header
--#include extension
--#include place
--#include lines

local now = now_ms(ARGV[1])
local totals, oldest, counters = { 0, 0, 0, 0, 0 }, now, {}

for partition = 0, tonumber(ARGV[2]) - 1 do
  local at = 1 + partition * 6
  for lane = 0, 2 do
    totals[lane + 1] = totals[lane + 1] + redis.call('LLEN', KEYS[at + lane])
    local first = redis.call('LINDEX', KEYS[at + lane], 0)
    if first and header_is_good(first) then oldest = math.min(oldest, ready_at_of(first)) end
  end
  totals[4] = totals[4] + redis.call('ZCARD', KEYS[at + 3])
  totals[5] = totals[5] + redis.call('ZCARD', KEYS[at + 4])
  for _, value in ipairs(redis.call('HGETALL', KEYS[at + 5])) do counters[#counters + 1] = value end
end
local lines, closed = lines_at(KEYS, #KEYS - 11, 1), {}
for lane = 1, 3 do
  local count = redis.call('ZCARD', lines.gated[lane])
  totals[lane] = totals[lane] + count
  closed[lane] = count
  if count > 0 then
    oldest = math.min(oldest, oldest_in_lines(lines, lane, '', 200) or oldest)
    if redis.call('EXISTS', lines.ring[lane]) == 1
      or redis.call('ZCOUNT', lines.parked, '-inf', now) > 0 then closed[lane] = 0 end
  end
end
return { totals[1], totals[2], totals[3], totals[4], totals[5], now - oldest, counters, closed }
