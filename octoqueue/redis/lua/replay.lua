-- Purpose    Put dead letters of one queue back at the tail of their lanes, as if never tried.
-- Guarantee  A message is dead or in its lane, never both. All that are still dead are moved, or,
--            when one is no envelope, its lane is full or its unique key is taken, none. A failure kept as the result of a
--            moved message is dropped, so that who asks waits for the next run, and so are its events
--            and the history of its attempts.
-- KEYS       [1] stats hash   [2] doorbell, when the call has it,
--            then for each partition: high, normal and low list, dead zset, dead hash,
--            then the queue's 12 line keys and the 4 that lines share, then locks of unique keys,
--            when they end, tombstones, tallies, then result, events and history of each message
-- ARGV       [1] now in ms, or 0   [2] partitions   [3] has doorbell (0/1)
--            [4] bound of the high lane, -1 for none   [5] of the normal lane   [6] of the low lane
--            [7] number of messages, then for each: id, partition (from 1)
-- Returns    [1] 0 done, then the ids that were moved; 1 for no envelope, then its id;
--            2 lane full, then lane (from 0), depth, bound; 3 key taken, then id, id of the holder
--#include now
--#include header
--#include doorbell
--#include extension
--#include unique
--#include place
--#include tally
--#include arrivals

local now, partitions, bells = now_ms(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bounds = { tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]) }
local first_line = 2 + bells + 5 * partitions
local lines, first_lock = lines_at(KEYS, first_line, first_line + 12), first_line + 16
local locks, locks_end, tombstones = KEYS[first_lock], KEYS[first_lock + 1], KEYS[first_lock + 2]
local tallies, first_kept = KEYS[first_lock + 3], first_lock + 1
local DONE, NO_ENVELOPE, FULL, TAKEN = 0, 1, 2, 3

local function payload_in(record)
  return record:sub(5, 4 + struct.unpack('>I4', record))
end

local found, wanted, own = {}, { 0, 0, 0 }, {}
for index = 1, tonumber(ARGV[7]) do
  local id, partition = ARGV[6 + 2 * index], tonumber(ARGV[7 + 2 * index])
  local base = 2 + bells + 5 * (partition - 1)
  local record = redis.call('HGET', KEYS[base + 4], id)
  if record then
    local payload = payload_in(record)
    if not header_is_good(payload) then return { NO_ENVELOPE, id } end
    local lane = lane_of(payload)
    wanted[lane] = wanted[lane] + 1
    local extension = extension_of(payload)
    local unique = extension and extension.unique
    local holder = unique and (own[unique[2]] or holder_of(locks, unique[2], now))
    if holder and holder ~= id_of(payload) then return { TAKEN, id, holder } end
    -- A window of its own that still runs is not begun anew.
    if unique then own[unique[2]] = id_of(payload) end
    found[#found + 1] = { id, payload, base, first_kept + 3 * index, not holder and unique }
  end
end

for lane = 1, 3 do
  if wanted[lane] > 0 and bounds[lane] >= 0 then
    local depth = redis.call('ZCARD', lines.gated[lane])
    for partition = 0, partitions - 1 do
      depth = depth + redis.call('LLEN', KEYS[1 + bells + 5 * partition + lane])
    end
    if depth + wanted[lane] > bounds[lane] then return { FULL, lane - 1, depth, bounds[lane] } end
  end
end

local packed_now, answer = struct.pack('>I8', now), { DONE }
for _, letter in ipairs(found) do
  local id, payload, base, kept, unique = unpack(letter)
  if unique then lock_key(locks, locks_end, unique, id_of(payload), now) end
  redis.call('HDEL', tombstones, id)
  redis.call('ZREM', KEYS[base + 3], id)
  redis.call('HDEL', KEYS[base + 4], id)
  redis.call('DEL', KEYS[kept], KEYS[kept + 1], KEYS[kept + 2])
  local fresh = ready_from(counted_as(payload, 0, 0), packed_now)
  place(lines, KEYS[base + lane_of(payload) - 1], fresh)
  answer[#answer + 1] = id
end
if #found > 0 then
  redis.call('HINCRBY', KEYS[1], 'replayed', #found)
  for lane = 1, 3 do
    if wanted[lane] > 0 then count_arrivals(KEYS[1], tallies, lane - 1, now, wanted[lane]) end
  end
  -- What arrives again was not enqueued again; readers add the two up.
  redis.call('HINCRBY', KEYS[1], 'enqueued', -#found)
  if bells == 1 then ring(KEYS[2]) end
end
return answer
