-- Purpose    Lease up to `limit` messages to a worker session, strictly in lane order.
-- Guarantee  A message is in its list or in exactly one lease; a lease belongs to a live session.
--            What is no envelope goes to the dead letters and blocks nobody.
-- KEYS       [1] workers zset
--            then for each queue: [2] stats hash, [3] doorbell when the call has them,
--            then for each partition of that queue: [4] high list, [5] normal list, [6] low list,
--            [7] leased hash of this session, [8] dead zset, [9] dead hash
-- ARGV       [1] now in ms, or 0   [2] session   [3] claim number, 4 raw bytes   [4] limit
--            [5] queues   [6] partitions   [7] has doorbells (0/1)
--            [8] rotation: where the round over queues and partitions starts
-- Returns    -1 when the session is not registered, else for each list that gave something an
--            array of queue (from 1), partition (from 1), payload, payload, …
--#include now
--#include header
--#include doorbell
--#include wait_buckets

if not redis.call('ZSCORE', KEYS[1], ARGV[2]) then return -1 end

local now, claim_number = now_ms(ARGV[1]), ARGV[3]
local wanted = tonumber(ARGV[4])
local queues, partitions = tonumber(ARGV[5]), tonumber(ARGV[6])
local bells, rotation = tonumber(ARGV[7]), tonumber(ARGV[8])
local width = 1 + bells + 6 * partitions
local UNDECODABLE = '{"error":"EnvelopeError","message":"the header of the message cannot be decoded"}'

local taken, found = {}, {}

local function bury(payload, base)
  local id = redis.sha1hex(payload):sub(1, 16)
  redis.call('ZADD', KEYS[base + 4], now, id)
  redis.call('HSET', KEYS[base + 5], id, struct.pack('>I4', #payload) .. payload .. UNDECODABLE)
end

local function lease(queue, partition, payloads, base)
  local waits, fields, good, buried = taken[queue] or {}, {}, { queue, partition }, 0
  taken[queue] = waits
  for _, payload in ipairs(payloads) do
    if header_is_good(payload) then
      fields[#fields + 1] = id_of(payload) .. claim_number
      fields[#fields + 1] = payload
      good[#good + 1] = payload
      local bucket = wait_bucket(now - ready_at_of(payload))
      waits[bucket] = (waits[bucket] or 0) + 1
    else
      bury(payload, base)
      buried = buried + 1
    end
  end
  if #fields > 0 then
    redis.call('HSET', KEYS[base + 3], unpack(fields))
    found[#found + 1] = good
  end
  if buried > 0 then redis.call('HINCRBY', KEYS[2 + (queue - 1) * width], 'undecodable', buried) end
  return #fields / 2
end

for lane = 0, 2 do
  for q = 0, queues - 1 do
    local queue = (q + rotation) % queues
    local base = 2 + queue * width + 1 + bells
    for p = 0, partitions - 1 do
      if wanted <= 0 then break end
      local partition = (p + rotation) % partitions
      local at = base + partition * 6
      local payloads = redis.call('LPOP', KEYS[at + lane], math.min(wanted, 1000))
      if payloads then wanted = wanted - lease(queue + 1, partition + 1, payloads, at) end
    end
  end
end

for queue, waits in pairs(taken) do
  local stats, claimed = KEYS[2 + (queue - 1) * width], 0
  for bucket, count in pairs(waits) do
    redis.call('HINCRBY', stats, 'wait:' .. bucket, count)
    claimed = claimed + count
  end
  if claimed > 0 then redis.call('HINCRBY', stats, 'claimed', claimed) end
  -- Whoever took its fill passes the bell on: there may be more for another worker.
  if wanted <= 0 and bells == 1 then ring(KEYS[3 + (queue - 1) * width]) end
end
return found
