-- Purpose    Remove dead letters of one queue for good: those named, and those older than an age.
-- KEYS       [1] stats hash, then for each partition: [2] dead zset, [3] dead hash,
--            then the history of each message that is named
-- ARGV       [1] now in ms, or 0   [2] partitions
--            [3] age in ms beyond which all go, -1 for none   [4] how many of those a partition
--            [5] number of messages, then for each: id, partition (from 1)
-- Returns    [1] dead letters removed   [2] 1 when a partition may have more of that age, else 0
--#include now

local now, partitions = now_ms(ARGV[1]), tonumber(ARGV[2])
local age, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local purged, more = 0, 0

local function purge(partition, id)
  local at = 2 * partition
  redis.call('HDEL', KEYS[at + 1], id)
  local removed = redis.call('ZREM', KEYS[at], id)
  purged = purged + removed
  return removed == 1
end

for at = 6, 4 + 2 * tonumber(ARGV[5]), 2 do
  local history = KEYS[2 * partitions + at / 2 - 1]
  if purge(tonumber(ARGV[at + 1]), ARGV[at]) then redis.call('DEL', history) end
end
if age >= 0 then
  -- As text with every digit: Lua's own way of writing numbers loses some beyond 1e14.
  local before = string.format('(%.0f', now - age)
  for partition = 1, partitions do
    local dead = KEYS[2 * partition]
    local old = redis.call('ZRANGEBYSCORE', dead, '-inf', before, 'LIMIT', 0, limit)
    for _, id in ipairs(old) do purge(partition, id) end
    if #old == limit then more = 1 end
  end
end
if purged > 0 then redis.call('HINCRBY', KEYS[1], 'purged', purged) end
return { purged, more }
