-- Purpose    Move delayed messages of one queue that are due into their lanes, let those go on whose
--            rate limit has opened, and move up a lane who has waited too long in his.
-- Guarantee  A message is delayed or in its lane, never both; its wait counts from when it was due.
--            What is no envelope goes to the low lane as it is, where `claim.lua` buries it.
-- KEYS       [1] stats hash   [2] doorbell, when the call has it,
--            then for each partition: delayed zset, high, normal and low list;
--            at the end the queue's 12 line keys and the 4 that lines share
-- ARGV       [1] now in ms, or 0   [2] partitions   [3] has doorbell (0/1)
--            [4] how many at most from each partition
--            [5] ms after which a message moves from normal to high, 0 for never
--            [6] ms after which it moves from low to normal   [7] line to begin with, 8 bytes
-- Returns    [1] messages moved   [2] ms until the next is due, -1 when none is delayed; a limit that opens counts
--            [3] limits that have opened and messages moved up a lane
--#include now
--#include header
--#include doorbell
--#include push_many
--#include extension
--#include place
--#include gates
--#include lines
--#include aging

local now, bells, limit = now_ms(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local lines = lines_at(KEYS, #KEYS - 15, #KEYS - 3)
local moved, next_due = 0, -1

for partition = 0, tonumber(ARGV[2]) - 1 do
  local at = 2 + bells + partition * 4
  local due = redis.call('ZRANGEBYSCORE', KEYS[at], '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
  local ready = { {}, {}, {} }
  for index = 1, #due, 2 do
    local payload = due[index]
    if header_is_good(payload) then
      local lane, extension = lane_of(payload), gates_of(payload)
      payload = ready_from(payload, struct.pack('>I8', tonumber(due[index + 1])))
      if extension then
        wait_in_line(lines, lane, payload, extension)
      else
        ready[lane][#ready[lane] + 1] = payload
      end
    else
      ready[3][#ready[3] + 1] = payload
    end
    redis.call('ZREM', KEYS[at], due[index])
  end
  for lane = 1, 3 do push_many(KEYS[at + lane], ready[lane]) end
  moved = moved + #due / 2
  local first = redis.call('ZRANGE', KEYS[at], 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(tonumber(first[2]) - now, 0)
    if next_due < 0 or wait < next_due then next_due = wait end
  end
end
prune_arrivals(lines, now)
local opened = wake_due(lines, now, limit)
local next_open = redis.call('ZRANGE', lines.parked, 0, 0, 'WITHSCORES')[2]
if next_open then
  local wait = math.max(tonumber(next_open) - limits_now(lines, now), 0)
  if next_due < 0 or wait < next_due then next_due = wait end
end

local aged = 0
for lane = 2, 3 do
  local age = tonumber(ARGV[3 + lane])
  if age > 0 then
    for partition = 0, tonumber(ARGV[2]) - 1 do
      local at = 2 + bells + partition * 4 + lane
      aged = aged + age_list(KEYS[at], KEYS[at - 1], now - age, 100)
    end
    aged = aged + age_lines(lines, lane, ARGV[7], now - age, 100)
  end
end

if moved > 0 then redis.call('HINCRBY', KEYS[1], 'promoted', moved) end
if aged > 0 then redis.call('HINCRBY', KEYS[1], 'aged', aged) end
if moved + opened + aged > 0 and bells == 1 then ring(KEYS[2]) end
return { moved, next_due, opened + aged }
