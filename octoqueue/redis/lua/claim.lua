-- Purpose    Lease up to `limit` messages to a worker session, strictly in lane order.
-- Guarantee  A message is in its list or in exactly one lease; a lease belongs to a live session.
--            What is no envelope goes to the dead letters and blocks nobody. Of a message that its
--            sender stored twice, one call leases one and leaves the other where it was. A paused
--            queue gives nothing. A cancelled message is leased to be ended, not to be run.
--            Tenants take turns in a lane; no cap and no rate limit is exceeded, and a message they
--            hold up holds up no other that is free to run. Leases of messages with gates stand in
--            the first partition of the call.
-- KEYS       [1] workers zset   [2] tombstones   [3] locks of unique keys
--            [4] the 4 keys that lines share; then for each queue:
--            [5] stats hash, [6] doorbell when the call has them, [7] the 12 line keys,
--            then, each for all partitions of that queue: [8] high lists, [9] normal lists,
--            [10] low lists, [11] leased hashes of this session, [12] dead zsets, [13] dead hashes
-- ARGV       [1] now in ms, or 0   [2] session   [3] claim number, 4 raw bytes   [4] limit
--            [5] queues   [6] partitions   [7] has doorbells (0/1)
--            [8] rotation: where the round over queues and partitions starts
-- Returns    -1 when the session is not registered or has expired, else for each list that gave
--            something an array of queue (from 1), partition (from 1), payload, payload, …;
--            of cancelled messages the same with the queue's number negative
-- Bound      `limit` messages, 1000 that are no envelopes or cancelled, and 250 looks at lines that
--            have to wait: then the rest is left to the next call
--#include now
--#include header
--#include doorbell
--#include wait_buckets
--#include push_many
--#include extension
--#include unique
--#include cancelled
--#include queue_room

local now, claim_number = now_ms(ARGV[1]), ARGV[3]
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[2]) or 0) <= now then return -1 end

local wanted = tonumber(ARGV[4])
local queues, partitions = tonumber(ARGV[5]), tonumber(ARGV[6])
local bells, rotation = tonumber(ARGV[7]), tonumber(ARGV[8])
local LINES, FIRST = 12, 8
local width = 1 + bells + LINES + 6 * partitions
local UNDECODABLE = '{"error":"EnvelopeError","message":"the header of the message cannot be decoded"}'
local SLICE, MOST_BURIED, MOST_LOOKED = 1000, 1000, 250

local tombstones, locks = KEYS[2], KEYS[3]
local has_tombstones = redis.call('EXISTS', tombstones) == 1
local taken, found, seen, twins, aside = {}, {}, {}, {}, {}
local buried, looked, left_off = 0, 0, false
-- For each queue: how many more may be leased, and its lines when somebody is in them.
local room, lines_in = {}, {}

local function stats_of(queue) return KEYS[FIRST + queue * width] end
local function base_of(queue) return FIRST + queue * width + 1 + bells + LINES end

-- Where a queue's lists of a lane (from 0) begin among the keys.
local function lists_of(queue, lane) return base_of(queue) + lane * partitions end

-- Whether one of the lists from `first` on has a message: one command for all partitions.
local function has_messages(first, lanes)
  return redis.call('EXISTS', unpack(KEYS, first, first + lanes * partitions - 1)) > 0
end

local function bury(payload, dead)
  local id = redis.sha1hex(payload):sub(1, 16)
  redis.call('ZADD', KEYS[dead], now, id)
  redis.call('HSET', KEYS[dead + partitions], id, struct.pack('>I4', #payload) .. payload .. UNDECODABLE)
end

local function lease(list, queue, partition, payloads)
  local leased = lists_of(queue - 1, 3) + partition - 1
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
      bury(payload, leased + partitions)
      bad = bad + 1
    end
  end
  if #fields > 0 then
    redis.call('HSET', KEYS[leased], unpack(fields))
    if #good > 2 then found[#found + 1] = good end
    if #ended > 2 then found[#found + 1] = ended end
  end
  if bad > 0 then redis.call('HINCRBY', stats_of(queue - 1), 'undecodable', bad) end
  buried = buried + bad + #ended - 2
  wanted = buried < MOST_BURIED and wanted - (#good - 2) or 0
  room[queue - 1] = room[queue - 1] - #fields / 2
end

local function claim(list, queue, partition)
  while wanted > 0 and room[queue - 1] > 0 do
    local slice = math.min(wanted, room[queue - 1], SLICE)
    local payloads = redis.call('LPOP', list, slice)
    if not payloads then return end
    lease(list, queue, partition, payloads)
    if #payloads < slice then return end
  end
end

local function claim_lists(queue, lane)
  local first = lists_of(queue, lane)
  if partitions > 1 and not has_messages(first, 1) then return end
  for p = 0, partitions - 1 do
    if wanted <= 0 then return end
    local partition = (p + rotation) % partitions
    claim(KEYS[first + partition], queue + 1, partition + 1)
  end
end

-- What follows is for queues where somebody is in a line, and made for them only: most claims are
-- of plain messages, and making forty functions costs as much as claiming twenty of these.
local open_lines, claim_lines

local function prepare_lines()
--#include place
--#include gates
--#include turns

  function open_lines(queue, at)
    lines_in[queue] = lines_at(KEYS, at, 4)
    if wanted > 0 then left_off = wake_due(lines_in[queue], now, SLICE) == SLICE or left_off end
  end

  -- The plain messages' turn: one of them.
  local function serve_plain(queue, lane, tag)
    local lines = lines_in[queue]
    if must_wait(lines, lane + 1, PLAIN, tag, '') then return end
    local first = lists_of(queue, lane)
    for p = 0, partitions - 1 do
      local partition = (p + rotation) % partitions
      local payload = redis.call('LPOP', KEYS[first + partition])
      if payload then
        rotation = rotation + 1
        lease(KEYS[first + partition], queue + 1, partition + 1, { payload })
        next_turn(lines, lane + 1, PLAIN, tag, '', true)
        return
      end
    end
    redis.call('ZREM', lines.ring[lane + 1], PLAIN)
  end

  -- A line's turn: its first message, when its gates are open.
  local function serve_line(queue, lane, flow, tag)
    local lines, seen_here = lines_in[queue], seen[queue + 1]
    local member, is_followed = head_and_next(lines, lane + 1, flow)
    local payload = member and member:sub(17)
    local extension = payload and gates_of(payload)
    if not extension then
      redis.call('ZREM', lines.ring[lane + 1], flow)
      return
    end
    local id = id_of(payload)
    if seen_here and seen_here[id] then
      -- Its sender stored it twice; see `twins`.
      redis.call('ZREM', lines.ring[lane + 1], flow)
      aside[#aside + 1] = { lines.ring[lane + 1], tag, flow }
      return
    end
    if must_wait(lines, lane + 1, flow, tag, extension.tenant) then
      looked = looked + 1
    else
      local gate, opens = closed_gate(lines, lane + 1, tag, flow, extension, now)
      if gate then
        wait_at(lines, lane + 1, tag, flow, gate, opens)
        looked = looked + 1
      else
        redis.call('ZREM', lines.gated[lane + 1], member)
        take_through(lines, extension, id .. claim_number, now)
        lease(nil, queue + 1, 1, { payload })
        next_turn(lines, lane + 1, flow, tag, extension.tenant, is_followed)
      end
    end
    wake_beside(lines, extension)
  end

  -- Serve a lane's lines in turn. Returns whether its lists are to be served alone now.
  function claim_lines(queue, lane)
    local lines = lines_in[queue]
    local ring_here = lines.ring[lane + 1]
    if redis.call('EXISTS', ring_here) == 0 then return true end
    if has_messages(lists_of(queue, lane), 1) then join_plain(lines, lane + 1) end
    while wanted > 0 and room[queue] > 0 and not left_off do
      if lines.woken and lines.woken <= lane then return false end
      local first = redis.call('ZRANGE', ring_here, 0, 1, 'WITHSCORES')
      local flow, tag = first[1], tonumber(first[2])
      if not flow then return true end
      if flow ~= PLAIN then
        serve_line(queue, lane, flow, tag)
      elseif first[3] then
        serve_plain(queue, lane, tag)
      else
        redis.call('ZREM', ring_here, PLAIN)
        return true
      end
      left_off = left_off or looked >= MOST_LOOKED
    end
    return false
  end
end

local function has_more(queue)
  if room[queue] <= 0 then return false end
  local at = base_of(queue) - LINES
  return redis.call('EXISTS', KEYS[at], KEYS[at + 1], KEYS[at + 2]) > 0
    or has_messages(base_of(queue), 3)
end

for queue = 0, queues - 1 do
  room[queue] = queue_room(stats_of(queue))
  local at = base_of(queue) - LINES
  if room[queue] > 0 and redis.call('EXISTS', KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 10]) > 0 then
    if not open_lines then prepare_lines() end
    open_lines(queue, at)
  end
end

local lane, first_queue = 0, rotation
while lane <= 2 and wanted > 0 do
  local next_lane = lane + 1
  for q = 0, queues - 1 do
    local queue = (q + first_queue) % queues
    local lines = lines_in[queue]
    if wanted > 0 and room[queue] > 0 and (not lines or claim_lines(queue, lane)) then
      claim_lists(queue, lane)
    end
    -- Somebody in a higher lane may go on now: he comes first.
    if lines and lines.woken then
      next_lane, lines.woken = math.min(next_lane, lines.woken - 1), nil
    end
  end
  lane = left_off and 3 or next_lane
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
for _, line in ipairs(aside) do redis.call('ZADD', unpack(line)) end
-- Whoever took its fill passes the bell on, for every queue that has more: it may have heard the
-- bell of one queue and filled itself from another.
local is_full = next(taken) and (wanted <= 0 or next(twins) or #aside > 0)
if bells == 1 and (is_full or left_off) then
  for queue = 0, queues - 1 do
    if has_more(queue) then ring(KEYS[FIRST + queue * width + 1]) end
  end
end
return found
