-- Purpose    Move delayed messages of one queue that are due into their lanes.
-- Guarantee  A message is delayed or in its lane, never both; its wait counts from when it was due.
--            What is no envelope goes to the low lane as it is, where `claim.lua` buries it.
-- KEYS       [1] stats hash   [2] doorbell, when the call has it,
--            then for each partition: delayed zset, high, normal and low list
-- ARGV       [1] now in ms, or 0   [2] partitions   [3] has doorbell (0/1)
--            [4] how many at most from each partition
-- Returns    [1] messages moved   [2] ms until the next is due, -1 when none is delayed
--#include now
--#include header
--#include doorbell
--#include push_many

local now, bells, limit = now_ms(ARGV[1]), tonumber(ARGV[3]), ARGV[4]
local moved, next_due = 0, -1

for partition = 0, tonumber(ARGV[2]) - 1 do
  local at = 2 + bells + partition * 4
  local due = redis.call('ZRANGEBYSCORE', KEYS[at], '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
  local ready = { {}, {}, {} }
  for index = 1, #due, 2 do
    local payload = due[index]
    if header_is_good(payload) then
      local lane = ready[lane_of(payload)]
      lane[#lane + 1] = ready_from(payload, struct.pack('>I8', tonumber(due[index + 1])))
    else
      ready[3][#ready[3] + 1] = payload
    end
    redis.call('ZREM', KEYS[at], payload)
  end
  for lane = 1, 3 do push_many(KEYS[at + lane], ready[lane]) end
  moved = moved + #due / 2
  local first = redis.call('ZRANGE', KEYS[at], 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(tonumber(first[2]) - now, 0)
    if next_due < 0 or wait < next_due then next_due = wait end
  end
end
if moved > 0 then
  redis.call('HINCRBY', KEYS[1], 'promoted', moved)
  if bells == 1 then ring(KEYS[2]) end
end
return { moved, next_due }
