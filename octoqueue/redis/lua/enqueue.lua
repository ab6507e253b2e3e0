-- Purpose    Put messages into lanes, or among the delayed ones, within the lanes' bounds.
-- Guarantee  Messages of one group are stored all or none; groups are independent.
-- KEYS       for each block (one queue and lane), in order:
--            [1] stats hash of the queue
--            [2] doorbell of the queue, when the block has one
--            [3] the lane's list, one for each partition of the call
--            [4] the queue's delayed zset, one for each partition, when the block has delayed ones
-- ARGV       [1] now in ms, or 0 for the server's clock
--            [2] number of blocks, then for each: bound, bound of delayed, partitions,
--                has doorbell (0/1), has delayed (0/1)
--            [3] number of messages, then for each: group, block, partition (both from 1),
--                delay in ms, payload; messages of a group are neighbours
-- Returns    for each refused group: group, block, depth, bound, 0 ready / 1 delayed (flat array)
--#include now
--#include header
--#include doorbell
--#include push_many
--#include delay_until

local now = now_ms(ARGV[1])
local packed_now = struct.pack('>I8', now)
local blocks, key, arg = {}, 1, 3

for index = 1, tonumber(ARGV[2]) do
  local block = {
    bound = tonumber(ARGV[arg]), delayed_bound = tonumber(ARGV[arg + 1]),
    partitions = tonumber(ARGV[arg + 2]), enqueued = 0, wake = false, ready = {},
  }
  block.stats, key = KEYS[key], key + 1
  if ARGV[arg + 3] == '1' then block.bell, key = KEYS[key], key + 1 end
  block.lists, key = key, key + block.partitions
  block.depth = 0
  for partition = 0, block.partitions - 1 do
    block.depth = block.depth + redis.call('LLEN', KEYS[block.lists + partition])
  end
  if ARGV[arg + 4] == '1' then
    block.delayed, key = key, key + block.partitions
    block.delayed_depth = 0
    for partition = 0, block.partitions - 1 do
      block.delayed_depth = block.delayed_depth + redis.call('ZCARD', KEYS[block.delayed + partition])
    end
  end
  blocks[index], arg = block, arg + 5
end

local function fits(first, last)
  local ready, delayed = {}, {}
  for at = first, last, 5 do
    local index = tonumber(ARGV[at + 1])
    local needs = ARGV[at + 3] == '0' and ready or delayed
    needs[index] = (needs[index] or 0) + 1
  end
  for index, count in pairs(ready) do
    local block = blocks[index]
    if block.depth + count > block.bound then return index, block.depth, block.bound, 0 end
  end
  for index, count in pairs(delayed) do
    local block = blocks[index]
    if block.delayed_depth + count > block.delayed_bound then
      return index, block.delayed_depth, block.delayed_bound, 1
    end
  end
  return nil
end

local function store(at)
  local block, partition = blocks[tonumber(ARGV[at + 1])], tonumber(ARGV[at + 2]) - 1
  local delay, payload = tonumber(ARGV[at + 3]), ARGV[at + 4]
  block.enqueued = block.enqueued + 1
  if delay == 0 then
    block.depth = block.depth + 1
    local values = block.ready[partition]
    if not values then values = {}; block.ready[partition] = values end
    values[#values + 1] = ready_from(payload, packed_now)
  else
    block.delayed_depth = block.delayed_depth + 1
    if delay_until(KEYS[block.delayed + partition], now + delay, payload) then block.wake = true end
  end
end

local refused = {}
local at, stop = arg + 1, arg + 5 * tonumber(ARGV[arg])
while at < stop do
  local first, group = at, ARGV[at]
  while at < stop and ARGV[at] == group do at = at + 5 end
  local block, depth, bound, kind = fits(first, at - 5)
  if block then
    for _, value in ipairs({ tonumber(group), block, depth, bound, kind }) do
      refused[#refused + 1] = value
    end
  else
    for message = first, at - 5, 5 do store(message) end
  end
end

for _, block in ipairs(blocks) do
  for partition, values in pairs(block.ready) do push_many(KEYS[block.lists + partition], values) end
  if block.enqueued > 0 then redis.call('HINCRBY', block.stats, 'enqueued', block.enqueued) end
  if next(block.ready) or block.wake then ring(block.bell) end
end
return refused
