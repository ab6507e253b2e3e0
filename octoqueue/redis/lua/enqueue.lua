-- Purpose    Put messages into lanes, or among the delayed ones, within the lanes' bounds.
-- Guarantee  Messages of one group are stored all or none; groups are independent. With `once`,
--            a group that was stored before is stored already, whatever became of it. A message
--            whose unique key is taken is left out of its group, or keeps the group from being
--            stored; no two messages hold a key at the same time.
-- KEYS       [1] zset of the ids that were enqueued once, when the call has `once`;
--            [2] when messages may be extended: locks of unique keys, when they end, and the 4 keys
--                that lines share;
--                then for each block (one queue and lane), in order:
--            [3] stats hash and tallies of the queue
--            [4] doorbell of the queue and the set of marks, when the block has them
--            [5] the lane's list, one for each partition of the call
--            [6] the lane's gated zset
--            [7] the queue's delayed zset, one for each partition, when the block has delayed ones
--            [8] the queue's 12 line keys, when the block has lines
-- ARGV       [1] now in ms, or 0 for the server's clock
--            [2] `once` as includes/once.lua reads it, or empty; then each group is one message
--            [3] whether messages may be extended (0/1)
--            [4] number of blocks, then for each: bound, bound of delayed, partitions,
--                has doorbell (0/1), has delayed (0/1), has lines (0/1)
--            [5] number of messages, then for each: group, block, partition (both from 1),
--                delay in ms, payload; messages of a group are neighbours
--            [6] number of groups that want no duplicates, then each
-- Returns    [1] for each refused group: group, block, depth, bound, 0 ready / 1 delayed (flat)
--            [2] for each message whose key is taken: group, id, id of the holder, whether the
--            group was refused (0/1) (flat); or -1 when `once` came too late: nothing was stored
--#include now
--#include header
--#include doorbell
--#include marks
--#include push_many
--#include delay_until
--#include once
--#include extension
--#include unique
--#include place
--#include tally
--#include arrivals

local now = now_ms(ARGV[1])
local packed_now = struct.pack('>I8', now)
local once = once_from(ARGV[2], KEYS[1], now)
if once and once.too_late then return -1 end
local blocks, later, key, arg = {}, {}, once and 2 or 1, 5
local locks, locks_end, shared
if ARGV[3] == '1' then locks, locks_end, shared, key = KEYS[key], KEYS[key + 1], key + 2, key + 6 end

-- A room is what has a bound: a lane, or the delayed messages of a queue, which its lanes share.
local READY, DELAYED = 0, 1

local function room(kind, bound, first_key, partitions)
  local depth = 0
  for at = first_key, first_key + partitions - 1 do
    depth = depth + (kind == READY and redis.call('LLEN', KEYS[at]) or redis.call('ZCARD', KEYS[at]))
  end
  return { depth = depth, bound = tonumber(bound), kind = kind }
end

for index = 1, tonumber(ARGV[4]) do
  local block = { enqueued = 0, wake = false, values = {} }
  local partitions = tonumber(ARGV[arg + 2])
  block.stats, block.tallies, key = KEYS[key], KEYS[key + 1], key + 2
  if ARGV[arg + 3] == '1' then block.bell, block.marks, key = KEYS[key], KEYS[key + 1], key + 2 end
  block.lists, key = key, key + partitions
  block.ready = room(READY, ARGV[arg], block.lists, partitions)
  block.ready.depth, key = block.ready.depth + redis.call('ZCARD', KEYS[key]), key + 1
  if ARGV[arg + 4] == '1' then
    block.delayed, key = key, key + partitions
    local name = KEYS[block.delayed]
    later[name] = later[name] or room(DELAYED, ARGV[arg + 1], block.delayed, partitions)
    block.later = later[name]
  end
  if ARGV[arg + 5] == '1' then
    block.lines, key = lines_at(KEYS, key, shared), key + 12
  end
  blocks[index], arg = block, arg + 6
end

local function room_of(at)
  local block = blocks[tonumber(ARGV[at + 1])]
  return ARGV[at + 3] == '0' and block.ready or block.later
end

local function unique_of(at)
  local extension = locks and extension_of(ARGV[at + 4])
  return extension and extension.unique
end

-- Who holds the keys of messages of a group, by where the message is; and whether another one does
-- than the message itself, sent again.
local function duplicates_in(first, last)
  local holders, own, others = {}, {}, false
  for at = first, last, 5 do
    local unique, id = unique_of(at), id_of(ARGV[at + 4])
    local holder = unique and (own[unique[2]] or holder_of(locks, unique[2], now))
    if holder then
      holders[at], others = holder, others or holder ~= id
    elseif unique then
      own[unique[2]] = id
    end
  end
  return holders, others
end

-- Take room for the messages of a group but the skipped ones; when it does not suffice give it back,
-- and return where it was too little and at which message.
local function reserve(first, last, skipped)
  local full, where
  for at = first, last, 5 do
    if not skipped[at] then
      local place = room_of(at)
      place.depth = place.depth + 1
      if place.depth > place.bound and not full then full, where = place, at end
    end
  end
  if full then
    for at = first, last, 5 do
      if not skipped[at] then
        local place = room_of(at)
        place.depth = place.depth - 1
      end
    end
  end
  return full, where
end

local function store(at)
  local block, partition = blocks[tonumber(ARGV[at + 1])], tonumber(ARGV[at + 2]) - 1
  local delay, payload = tonumber(ARGV[at + 3]), ARGV[at + 4]
  local unique = locks and unique_of(at)
  if unique then lock_key(locks, locks_end, unique, id_of(payload), now) end
  block.enqueued = block.enqueued + 1
  block.lane = lane_of(payload) - 1
  if delay == 0 then block.is_marked = true end
  local extension = delay == 0 and block.lines and gates_of(payload)
  if extension then
    wait_in_line(block.lines, lane_of(payload), ready_from(payload, packed_now), extension)
    block.wake = true
  elseif delay == 0 then
    local values = block.values[partition]
    if not values then values = {}; block.values[partition] = values end
    values[#values + 1] = ready_from(payload, packed_now)
  elseif delay_until(KEYS[block.delayed + partition], now + delay, payload) then
    block.wake = true
  end
end

local refused, duplicates, strict, NONE = {}, {}, {}, {}
local at, stop = arg + 1, arg + 5 * tonumber(ARGV[arg])
for index = stop + 2, stop + 1 + tonumber(ARGV[stop + 1]) do strict[ARGV[index]] = true end
while at < stop do
  local first, group = at, ARGV[at]
  while at < stop and ARGV[at] == group do at = at + 5 end
  local known = once and is_known(once, id_of(ARGV[first + 4]))
  local holders, others, full, where = NONE, false, nil, nil
  if locks and not known then holders, others = duplicates_in(first, at - 5) end
  local unwanted = others and strict[group]
  if not known and not unwanted then full, where = reserve(first, at - 5, holders) end
  if full then
    local answer = { tonumber(group), tonumber(ARGV[where + 1]), full.depth, full.bound, full.kind }
    for _, value in ipairs(answer) do refused[#refused + 1] = value end
  elseif holders ~= NONE then
    for message, holder in pairs(holders) do
      local answer = { tonumber(group), id_of(ARGV[message + 4]), holder, unwanted and 1 or 0 }
      for _, value in ipairs(answer) do duplicates[#duplicates + 1] = value end
    end
  end
  if not (full or known or unwanted) then
    for message = first, at - 5, 5 do
      if not holders[message] then store(message) end
    end
    if once then remember(once, id_of(ARGV[first + 4])) end
  end
end

for _, block in ipairs(blocks) do
  for partition, values in pairs(block.values) do push_many(KEYS[block.lists + partition], values) end
  if block.enqueued > 0 then count_arrivals(block.stats, block.tallies, block.lane, now, block.enqueued) end
  if block.is_marked then mark(block.marks, block.lane, block.stats) end
  if next(block.values) or block.wake then ring(block.bell) end
end
return { refused, duplicates }
