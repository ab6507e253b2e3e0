-- Purpose    Lease up to `limit` messages to a worker session, strictly in lane order.
-- Guarantee  A message is in its list or in exactly one lease; a lease belongs to a live session.
--            What is no envelope goes to the dead letters and blocks nobody. Of a message that its
--            sender stored twice, one call leases one and leaves the other where it was. A paused
--            queue gives nothing. A cancelled message is leased to be ended, not to be run.
-- KEYS       [1] workers zset   [2] tombstones   [3] locks of unique keys
--            then for each queue: [4] stats hash, [5] doorbell when the call has them,
--            then for each partition of that queue: [6] high list, [7] normal list, [8] low list,
--            [9] leased hash of this session, [10] dead zset, [11] dead hash
-- ARGV       [1] now in ms, or 0   [2] session   [3] claim number, 4 raw bytes   [4] limit
--            [5] queues   [6] partitions   [7] has doorbells (0/1)
--            [8] rotation: where the round over queues and partitions starts
-- Returns    -1 when the session is not registered or has expired, else for each list that gave
--            something an array of queue (from 1), partition (from 1), payload, payload, …;
--            of cancelled messages the same with the queue's number negative
-- Bound      `limit` messages, and 1000 that are no envelopes or cancelled: then the rest is left to
--            the next call
--#include now
--#include header
--#include doorbell
--#include wait_buckets
--#include push_many
--#include extension
--#include unique
--#include cancelled

local now, claim_number = now_ms(ARGV[1]), ARGV[3]
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[2]) or 0) <= now then return -1 end

local wanted = tonumber(ARGV[4])
local queues, partitions = tonumber(ARGV[5]), tonumber(ARGV[6])
local bells, rotation = tonumber(ARGV[7]), tonumber(ARGV[8])
local width = 1 + bells + 6 * partitions
local UNDECODABLE = '{"error":"EnvelopeError","message":"the header of the message cannot be decoded"}'
local SLICE, MOST_BURIED = 1000, 1000

local tombstones, locks = KEYS[2], KEYS[3]
local has_tombstones = redis.call('EXISTS', tombstones) == 1
local taken, found, seen, twins, buried, paused = {}, {}, {}, {}, 0, {}

local function stats_of(queue) return KEYS[4 + queue * width] end

for queue = 0, queues - 1 do
  paused[queue] = redis.call('HGET', stats_of(queue), 'paused')
end

local function bury(payload, base)
  local id = redis.sha1hex(payload):sub(1, 16)
  redis.call('ZADD', KEYS[base + 4], now, id)
  redis.call('HSET', KEYS[base + 5], id, struct.pack('>I4', #payload) .. payload .. UNDECODABLE)
end

local function lease(list, queue, partition, payloads, base)
  local waits, here = taken[queue] or {}, seen[queue] or {}
  local fields, good, ended, bad = {}, { queue, partition }, { -queue, partition }, 0
  taken[queue], seen[queue] = waits, here
  for _, payload in ipairs(payloads) do
    if header_is_good(payload) then
      local id = id_of(payload)
      if here[id] then
        twins[list] = twins[list] or {}
        table.insert(twins[list], payload)
      else
        here[id] = true
        fields[#fields + 1] = id .. claim_number
        fields[#fields + 1] = payload
        local into = has_tombstones and is_cancelled(tombstones, id) and ended or good
        into[#into + 1] = payload
        if is_extended(payload) then release_key(locks, payload, UNTIL_STARTED) end
        local bucket = wait_bucket(now - ready_at_of(payload))
        waits[bucket] = (waits[bucket] or 0) + 1
      end
    else
      bury(payload, base)
      bad = bad + 1
    end
  end
  if #fields > 0 then
    redis.call('HSET', KEYS[base + 3], unpack(fields))
    if #good > 2 then found[#found + 1] = good end
    if #ended > 2 then found[#found + 1] = ended end
  end
  if bad > 0 then redis.call('HINCRBY', stats_of(queue - 1), 'undecodable', bad) end
  buried = buried + bad + #ended - 2
  wanted = buried < MOST_BURIED and wanted - (#good - 2) or 0
end

local function claim(list, queue, partition, base)
  while wanted > 0 do
    local slice = math.min(wanted, SLICE)
    local payloads = redis.call('LPOP', list, slice)
    if not payloads then return end
    lease(list, queue, partition, payloads, base)
    if #payloads < slice then return end
  end
end

local function has_more(base)
  for p = 0, partitions - 1 do
    for lane = 0, 2 do
      if redis.call('LLEN', KEYS[base + p * 6 + lane]) > 0 then return true end
    end
  end
  return false
end

for lane = 0, 2 do
  for q = 0, queues - 1 do
    local queue = (q + rotation) % queues
    local base = 4 + queue * width + 1 + bells
    for p = 0, partitions - 1 do
      if wanted <= 0 or paused[queue] then break end
      local partition = (p + rotation) % partitions
      local at = base + partition * 6
      claim(KEYS[at + lane], queue + 1, partition + 1, at)
    end
  end
end

for queue, waits in pairs(taken) do
  local stats, claimed = stats_of(queue - 1), 0
  for bucket, count in pairs(waits) do
    redis.call('HINCRBY', stats, 'wait:' .. bucket, count)
    claimed = claimed + count
  end
  if claimed > 0 then redis.call('HINCRBY', stats, 'claimed', claimed) end
end
-- Two leases of one claim with the same id would share a token, so the second waits for another.
for list, payloads in pairs(twins) do push_many(list, payloads) end
-- Whoever took its fill passes the bell on, for every queue that has more: it may have heard the
-- bell of one queue and filled itself from another.
if bells == 1 and next(taken) and (wanted <= 0 or next(twins)) then
  for queue = 0, queues - 1 do
    local at = 4 + queue * width
    if not paused[queue] and has_more(at + 2) then ring(KEYS[at + 1]) end
  end
end
return found
