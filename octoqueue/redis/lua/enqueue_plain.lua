-- Purpose    What enqueue.lua does, for most of what is sent: messages for one lane of one queue that
--            are ready at once and have nothing to pass and no unique key.
-- Guarantee  Messages of one group are stored all or none; groups are independent.
-- KEYS       [1] stats hash of the queue   [2] the lane's gated zset   [3] tallies of the queue
--            [4] the lane's list, one for each partition of the call
--            [5] doorbell of the queue and the set of marks, when the call has them
-- ARGV       [1] now in ms, or 0 for the server's clock   [2] bound of the lane   [3] partitions
--            [4] how many messages each group has, 4 bytes a group
--            [5] the partition of each message from 0, 2 bytes a message
--            [6] the messages, in the order of their groups
-- Returns    for each refused group: its number from 0, depth (flat)
--#include now
--#include doorbell
--#include marks
--#include push_many

local call, byte, sub, unpacked = redis.call, string.byte, string.sub, struct.unpack
local bound, partitions, sizes, places = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local now = now_ms(ARGV[1])
local packed_now = struct.pack('>I8', now)

local depth = call('ZCARD', KEYS[2])
for at = 4, 3 + partitions do depth = depth + call('LLEN', KEYS[at]) end

local refused, values, enqueued, at = {}, {}, 0, 0
for group = 0, #sizes / 4 - 1 do
  local size = unpacked('>I4', sizes, 4 * group + 1)
  if depth + size > bound then
    refused[#refused + 1] = group
    refused[#refused + 1] = depth
  else
    depth, enqueued = depth + size, enqueued + size
    for message = at, at + size - 1 do
      local high, low = byte(places, 2 * message + 1, 2 * message + 2)
      local partition, payload = 256 * high + low, ARGV[6 + message]
      local list = values[partition]
      if not list then list = {}; values[partition] = list end
      list[#list + 1] = sub(payload, 1, 8) .. packed_now .. sub(payload, 17)
    end
  end
  at = at + size
end

if enqueued > 0 then
  for partition, list in pairs(values) do push_many(KEYS[4 + partition], list) end
  local lane = byte(ARGV[6], 3)
  -- As includes/arrivals.lua does it, without a function and numbers to be written as text.
  local field, from, to = 'arrived:0', '0', '3'
  if lane == 1 then field, from, to = 'arrived:1', '4', '7' elseif lane == 2 then field, from, to = 'arrived:2', '8', '11' end
  local arrived, second = call('HINCRBY', KEYS[1], field, enqueued), math.floor(now / 1000)
  if call('GETRANGE', KEYS[3], from, to) ~= struct.pack('>I4', second) then
--#include tally
--#include arrivals
    note_arrivals(KEYS[3], lane, second, arrived - enqueued)
  end
  mark(KEYS[5 + partitions], lane, KEYS[1])
  ring(KEYS[4 + partitions])
end
return refused
