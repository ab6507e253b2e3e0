-- Purpose    Read the scaling signals of some queues. Writes nothing.
-- KEYS       [1] gates hash   [2] tats zset   [3] shifts hash   [4] reserved hash,
--            then for each queue: [5] stats hash, [6] tallies,
--            [7] for each partition high, normal and low list and delayed zset, [8] the 12 line keys
-- ARGV       [1] now in ms, or 0   [2] partitions   [3] queues   [4] delayed messages that are due
--            within so many ms are due soon
-- Returns    [1] now in ms
--            [2] for each queue: waiting in each of the 3 lanes, age of the oldest in each in ms,
--            how many of each no worker could start by then, delayed, due soon, tallies, counters
--            (field, value, …)
-- Bound      200 lines of a lane are looked at for the oldest and for gates; callers send no more than
--            some 500 keys
--#include now
--#include header
--#include extension
--#include place
--#include lines
--#include gates
--#include held_back
--#include queue_room

local now, partitions, queues = now_ms(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local soon, LANES, LINES, FIRST = now + tonumber(ARGV[4]), 3, 12, 5

local function signals_of(at)
  local stats, tallies, first_line = KEYS[at], KEYS[at + 1], at + 2 + partitions * (LANES + 1)
  local waiting, oldest, delayed, due = { 0, 0, 0 }, { now, now, now }, 0, 0
  local held, granted, room = { 0, 0, 0 }, {}, queue_room(stats)
  for first = at + 2, first_line - 1, LANES + 1 do
    for lane = 1, LANES do
      local list = KEYS[first + lane - 1]
      waiting[lane] = waiting[lane] + redis.call('LLEN', list)
      local head = redis.call('LINDEX', list, 0)
      if head and header_is_good(head) then oldest[lane] = math.min(oldest[lane], ready_at_of(head)) end
    end
    delayed = delayed + redis.call('ZCARD', KEYS[first + LANES])
    due = due + redis.call('ZCOUNT', KEYS[first + LANES], '-inf', soon)
  end
  local lines = lines_at(KEYS, first_line, 1)
  -- A paused queue has no room for anything, which it says itself.
  if redis.call('HEXISTS', stats, 'paused') == 1 then room = math.huge end
  for lane = 1, LANES do
    local count = redis.call('ZCARD', lines.gated[lane])
    if count > 0 then
      waiting[lane] = waiting[lane] + count
      local ready_at
      held[lane], ready_at = look_at_lines(lines, lane, clock_of_limits(lines, now), soon - now, granted)
      oldest[lane] = math.min(oldest[lane], ready_at or oldest[lane])
    end
    local startable = math.min(waiting[lane] - held[lane], room)
    held[lane], room = waiting[lane] - startable, room - startable
  end
  return {
    waiting[1], waiting[2], waiting[3], now - oldest[1], now - oldest[2], now - oldest[3],
    held[1], held[2], held[3], delayed, due, redis.call('GET', tallies) or '', redis.call('HGETALL', stats),
  }
end

local found, width = {}, 2 + partitions * (LANES + 1) + LINES
for queue = 0, queues - 1 do found[queue + 1] = signals_of(FIRST + queue * width) end
return { now, found }
