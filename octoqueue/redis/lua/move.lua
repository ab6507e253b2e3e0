-- Purpose    Give a message that waits or is delayed another lane.
-- Guarantee  It is in one place before and after; nothing when it is not there any more, or when its
--            new lane is full. It goes to the tail of the lane; in a line it stands by its age.
-- KEYS       [1] stats hash   [2] doorbell, when the call has it; [3] its list, or delayed zset,
--            [4] the new lane's list, one for each partition,
--            [5] the queue's 12 line keys and the 4 that lines share
-- ARGV       [1] partitions   [2] has doorbell (0/1)   [3] 0 list, 1 zset, 2 to 4 line of a lane
--            [4] the member it is there   [5] its payload   [6] new lane (from 0)
--            [7] its partition (from 1)   [8] bound of the new lane
-- Returns    { 0 } not there, { 1 } moved, { 2, depth, bound } the lane is full
--#include header
--#include doorbell
--#include extension
--#include place
--#include gates

local partitions, bells, kind = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local member, payload, to = ARGV[4], ARGV[5], tonumber(ARGV[6]) + 1
local from, lists = KEYS[2 + bells], 2 + bells
local lines = lines_at(KEYS, lists + partitions + 1, lists + partitions + 13)
local GONE, MOVED, FULL = { 0 }, { 1 }, 2
local changed = payload:sub(1, 2) .. string.char(to - 1) .. payload:sub(4)

if kind == 1 then
  local due = redis.call('ZSCORE', from, member)
  if not due then return GONE end
  redis.call('ZREM', from, member)
  redis.call('ZADD', from, due, changed)
  return MOVED
end

local depth, bound = redis.call('ZCARD', lines.gated[to]), tonumber(ARGV[8])
for partition = 1, partitions do depth = depth + redis.call('LLEN', KEYS[lists + partition]) end
if depth >= bound then return { FULL, depth, bound } end

if kind == 0 then
  if redis.call('LREM', from, 1, member) == 0 then return GONE end
  redis.call('RPUSH', KEYS[lists + tonumber(ARGV[7])], changed)
else
  local lane = kind - 1
  if not redis.call('ZSCORE', lines.gated[lane], member) then return GONE end
  local extension = gates_of(payload)
  leave_line(lines, lane, member, extension)
  wait_in_line(lines, to, changed, extension)
end
redis.call('HINCRBY', KEYS[1], 'moved', 1)
if bells == 1 then ring(KEYS[2]) end
return MOVED
