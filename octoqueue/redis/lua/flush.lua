-- Purpose    Drop some of what waits in one queue, and release the unique keys it holds.
-- Guarantee  With the last message of its lines all that was kept of their turns is gone, too.
-- KEYS       [1] locks of unique keys, then for each partition: [2] high, [3] normal and [4] low
--            list, [5] delayed zset; then [6] the queue's 12 line keys
-- ARGV       [1] partitions   [2] how many at most from each place
-- Returns    1 when there may be more, else 0
--#include header
--#include extension
--#include unique
--#include place

local locks, partitions, limit = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local FLOW_AND_AGE = 16
local more = 0

local function drop(payload)
  if header_is_good(payload) and is_extended(payload) then release_key(locks, payload, UNTIL_DONE) end
end

local function drop_scored(zset, from)
  local members = redis.call('ZPOPMIN', zset, limit)
  for index = 1, #members, 2 do drop(members[index]:sub(from)) end
  if #members == 2 * limit then more = 1 end
end

for partition = 0, partitions - 1 do
  local at = 2 + 4 * partition
  for lane = 0, 2 do
    local payloads = redis.call('LPOP', KEYS[at + lane], limit) or {}
    for _, payload in ipairs(payloads) do drop(payload) end
    if #payloads == limit then more = 1 end
  end
  drop_scored(KEYS[at + 3], 1)
end
local lines = lines_at(KEYS, 2 + 4 * partitions, 0)
for lane = 1, 3 do drop_scored(lines.gated[lane], FLOW_AND_AGE + 1) end
if more == 0 then
  for lane = 1, 3 do redis.call('DEL', lines.ring[lane], lines.tags[lane]) end
  redis.call('DEL', lines.waiting, lines.parked)
end
return more
