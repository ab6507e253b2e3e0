-- Purpose    Lease up to `limit` messages to a worker session, strictly in lane order.
-- Guarantee  A message is in its list or in exactly one lease; a lease belongs to a live session.
--            What is no envelope goes to the dead letters and blocks nobody. Of a message that its
--            sender stored twice, one call leases one and leaves the other where it was. A paused
--            queue gives nothing. A cancelled message is leased to be ended, not to be run.
--            Tenants take turns in a lane; no cap and no rate limit is exceeded, and a message they
--            hold up holds up no other that is free to run. Leases, and what is no envelope, stand
--            in the first partition of the call.
-- KEYS       [1] workers zset   [2] tombstones   [3] locks of unique keys
--            [4] the 4 keys that lines share   [5] set of marks; then for each queue:
--            [6] stats hash, [7] doorbell when the call has them, [8] the 12 line keys,
--            then, each for all partitions of the call: [9] high lists, [10] normal lists,
--            [11] low lists, then [12] leased hash of this session, [13] dead zset, [14] dead hash,
--            [15] tallies
-- ARGV       [1] now in ms, or 0   [2] session   [3] claim number, 4 raw bytes   [4] limit
--            [5] queues   [6] partitions   [7] has doorbells (0/1)
--            [8] rotation: with which queue the round starts; and, counted once for each round
--                of queues, with which partition, so that each queue begins with each
--            [9] lowest lane to claim from (0 to 2)
--            [10] empty, or for each queue a digit: the lanes whose marks are to be set right
-- Returns    -1 when the session is not registered or has expired, else in turn: number of a queue
--            (from 1), partition (from 1), array of payloads; of cancelled messages the same with
--            the queue's number negative
-- Bound      `limit` messages, 1000 that are no envelopes or cancelled, and 250 looks at lines that
--            have to wait: then the rest is left to the next call
--#include now
--#include wait_buckets
--#include plain
--#include queue_room

local now, claim_number = now_ms(ARGV[1]), ARGV[3]
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[2]) or 0) <= now then return -1 end

local wanted = tonumber(ARGV[4])
local queues, partitions = tonumber(ARGV[5]), tonumber(ARGV[6])
local bells, rotation = tonumber(ARGV[7]), tonumber(ARGV[8])
local first_queue = rotation % queues
rotation = math.floor(rotation / queues)
local lowest, looked_after = tonumber(ARGV[9]), ARGV[10]
local LINES, FIRST, LANES, MARKS = 12, 9, 3, 8
local width = 1 + bells + LINES + LANES * partitions + 4
local SLICE, MOST_BURIED, MOST_LOOKED = 1000, 1000, 250

local tombstones, locks = KEYS[2], KEYS[3]
local has_tombstones = redis.call('EXISTS', tombstones) == 1
local found, taken, twins, aside = {}, {}, {}, {}
local buried, looked, left_off = 0, 0, false
-- The lane (from 0) that is claimed from; `taken` has waits by queue and lane.
local lane = 0
-- For each queue (from 0): how many more may be leased, and its lines when somebody is in them.
local room, lines_in = {}, {}
-- For each queue the second in which messages were last leased.
local seconds = {}

local function stats_of(queue) return KEYS[FIRST + queue * width] end

-- Where a queue's lists of a lane (from 0) begin among the keys.
local function lists_of(queue, lane) return FIRST + queue * width + 1 + bells + LINES + lane * partitions end

local function leased_of(queue) return lists_of(queue, LANES) end

-- Whether one of the lists from `first` on has a message: one command for all partitions.
local function has_messages(first, lanes)
  return redis.call('EXISTS', unpack(KEYS, first, first + lanes * partitions - 1)) > 0
end

-- What follows is for what most claims never meet, and made only by those that do: making forty
-- functions costs as much as claiming thirty messages.
local lease, sorted, without_twins, put_back_twins
local prepare_lines, open_lines, claim_lines, close_lines, lease_pending
local has_leased_lists = false

local function add_found(number, partition, payloads)
  local at = #found
  found[at + 1], found[at + 2], found[at + 3] = number, partition, payloads
end

local function prepare()
--#include header
--#include push_many
--#include extension
--#include unique
--#include cancelled
  local UNDECODABLE = '{"error":"EnvelopeError","message":"the header of the message cannot be decoded"}'

  local function bury(queue, payload)
    local id, dead = redis.sha1hex(payload):sub(1, 16), leased_of(queue) + 1
    redis.call('ZADD', KEYS[dead], now, id)
    redis.call('HSET', KEYS[dead + 1], id, struct.pack('>I4', #payload) .. payload .. UNDECODABLE)
    redis.call('HINCRBY', stats_of(queue), 'undecodable', 1)
    buried = buried + 1
  end

  -- Of messages that are not all plain: fields, waits, those to run, those to end.
  function sorted(queue, payloads)
    local fields, waits, good, ended = {}, {}, {}, {}
    for _, payload in ipairs(payloads) do
      if header_is_good(payload) then
        local id = id_of(payload)
        fields[#fields + 1] = id .. claim_number
        fields[#fields + 1] = payload
        local into = has_tombstones and is_cancelled(tombstones, id) and ended or good
        into[#into + 1] = payload
        if is_extended(payload) then release_key(locks, payload, UNTIL_STARTED) end
        local bucket = wait_bucket(now - ready_at_of(payload))
        waits[bucket] = (waits[bucket] or 0) + 1
      else
        bury(queue, payload)
      end
    end
    return fields, waits, good, ended
  end

  -- The payloads without those whose lease this claim has already made: two of one claim would share a
  -- token. The lease gets back its own payload; the twin goes back to its list in the end.
  function without_twins(list, queue, payloads, waits)
    local first, single = {}, {}
    for at = 1, #found, 3 do
      if math.abs(found[at]) == queue + 1 then
        for _, payload in ipairs(found[at + 2]) do first[id_of(payload)] = payload end
      end
    end
    for _, payload in ipairs(payloads) do
      local id = id_of(payload)
      if first[id] then
        redis.call('HSET', KEYS[leased_of(queue)], id .. claim_number, first[id])
        local bucket = wait_bucket(now - ready_at_of(payload))
        waits[bucket] = waits[bucket] - 1
        twins[list] = twins[list] or {}
        table.insert(twins[list], payload)
      else
        first[id] = payload
        single[#single + 1] = payload
      end
    end
    return single
  end

  function put_back_twins()
    for list, payloads in pairs(twins) do push_many(list, payloads) end
  end

  function prepare_lines()
--#include place
--#include gates
--#include turns

    function open_lines(queue, at)
      local lines = lines_at(KEYS, at, 4)
      lines_in[queue] = lines
      begin_turns(lines)
      if wanted > 0 then left_off = wake_due(lines, now, SLICE) == SLICE or left_off end
    end

    function close_lines(lines)
      for lane = 1, LANES do keep_turns(lines, lane) end
      settle_taken(lines, now)
    end

    -- Tokens and payloads of what was taken from lines of a queue, to be leased together, and the
    -- tokens of all of them; who else leases of that queue leases these first.
    local pending, known = {}, {}

    function lease_pending(queue)
      local fields = pending[queue]
      if not fields then return end
      for first = 1, #fields, 2 * SLICE do
        redis.call('HSET', KEYS[leased_of(queue)], unpack(fields, first, math.min(first + 2 * SLICE - 1, #fields)))
      end
      pending[queue] = nil
    end

    local function is_leased(queue, token)
      return known[token]
        or has_leased_lists and redis.call('HEXISTS', KEYS[leased_of(queue)], token) == 1
    end

    local line_payloads

    -- Lease a message of a line.
    local function lease_one(queue, payload, token, extension)
      local fields, waits = pending[queue] or {}, taken[queue * LANES + lane] or {}
      pending[queue], taken[queue * LANES + lane], known[token] = fields, waits, true
      fields[#fields + 1], fields[#fields + 2] = token, payload
      if extension.unique then release_key(locks, payload, UNTIL_STARTED) end
      local bucket = wait_bucket(now - ready_at_of(payload))
      waits[bucket] = (waits[bucket] or 0) + 1
      local number = queue + 1
      if has_tombstones and is_cancelled(tombstones, id_of(payload)) then
        number, buried = -number, buried + 1
        if buried >= MOST_BURIED then wanted = 0 end
      else
        wanted = wanted - 1
      end
      room[queue] = room[queue] - 1
      if line_payloads and found[#found] == line_payloads and found[#found - 2] == number then
        line_payloads[#line_payloads + 1] = payload
      else
        line_payloads = { payload }
        add_found(number, 1, line_payloads)
      end
    end

    -- The plain messages' turn: one of them.
    local function serve_plain(queue, lane, tag)
      local lines = lines_in[queue]
      if must_wait(lines, lane + 1, PLAIN, tag, '') then return end
      local first = lists_of(queue, lane)
      for p = 0, partitions - 1 do
        local partition = (p + rotation) % partitions
        local payloads = redis.call('LPOP', KEYS[first + partition], 1)
        if payloads then
          rotation = rotation + 1
          lease(KEYS[first + partition], queue, partition + 1, payloads)
          next_turn(lines, lane + 1, PLAIN, tag, '', true)
          return
        end
      end
      redis.call('ZREM', lines.ring[lane + 1], PLAIN)
    end

    -- A line's turn: its first message, when its gates are open.
    local function serve_line(queue, lane, flow, tag)
      local lines = lines_in[queue]
      local member, is_followed = head_and_next(lines, lane + 1, flow)
      local payload = member and member:sub(17)
      local extension = payload and gates_of(payload)
      if not extension then
        redis.call('ZREM', lines.ring[lane + 1], flow)
        return
      end
      local token = id_of(payload) .. claim_number
      if is_leased(queue, token) then
        -- Its sender stored it twice; see `without_twins`.
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
          take_through(lines, extension, token, now)
          lease_one(queue, payload, token, extension)
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
end

-- Lease what was taken from a list.
function lease(list, queue, partition, payloads)
  local good, ended, fields, waits = payloads, nil, nil, nil
  if lease_pending then lease_pending(queue) end
  has_leased_lists = true
  if not has_tombstones then fields, waits = plain_fields(payloads, claim_number, now) end
  if not fields then
    if not sorted then prepare() end
    fields, waits, good, ended = sorted(queue, payloads)
  end
  if #fields > 0 and redis.call('HSET', KEYS[leased_of(queue)], unpack(fields)) < #fields / 2 then
    if not sorted then prepare() end
    good, ended = without_twins(list, queue, good, waits), ended and without_twins(list, queue, ended, waits)
  end
  local leased, gone, counts = #good, ended and #ended or 0, taken[queue * LANES + lane]
  if leased > 0 then add_found(queue + 1, partition, good) end
  if gone > 0 then add_found(-queue - 1, partition, ended) end
  if counts then
    for bucket, count in pairs(waits) do counts[bucket] = (counts[bucket] or 0) + count end
  else
    taken[queue * LANES + lane] = waits
  end
  buried = buried + gone
  wanted = buried < MOST_BURIED and wanted - leased or 0
  room[queue] = room[queue] - leased - gone
end

local function claim_list(list, queue, partition)
  while wanted > 0 and room[queue] > 0 do
    local slice = math.min(wanted, room[queue], SLICE)
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
    claim_list(KEYS[first + partition], queue, partition + 1)
  end
end

for queue = 0, queues - 1 do
  room[queue], seconds[queue] = queue_room(stats_of(queue))
  local at = lists_of(queue, 0) - LINES
  if room[queue] > 0 and redis.call('EXISTS', KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 10]) > 0 then
    if not sorted then prepare() end
    if not open_lines then prepare_lines() end
    open_lines(queue, at)
  end
end

while lane <= lowest and wanted > 0 do
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
  lane = left_off and LANES or next_lane
end

for queue, lines in pairs(lines_in) do
  lease_pending(queue)
  close_lines(lines)
end
-- The first claim of a second that takes something from a queue notes what had been started before.
local function begin_second(queue, second)
--#include tally
  local stats, tallies, fields = stats_of(queue), KEYS[leased_of(queue) + 3], {}
  for bucket = 0, 50 do
    fields[bucket + 1] = 'wait:' .. math.floor(bucket / 17) .. ':' .. bucket % 17
  end
  local waits, started = redis.call('HMGET', stats, unpack(fields)), { 0, 0, 0 }
  for index = 1, 51 do
    waits[index] = struct.pack('>I4', tonumber(waits[index] or 0) % TALLY_MOST)
    local from = math.floor((index - 1) / 17) + 1
    started[from] = started[from] + struct.unpack('>I4', waits[index])
  end
  for from = 1, 3 do started[from] = started[from] % TALLY_MOST end
  local at, ten = STARTS_AT + second % TALLY_SECONDS * 16, math.floor(second / 10)
  begin_slot(tallies, at, struct.pack('>I4I4I4I4', second, unpack(started)))
  if math.floor(tonumber(seconds[queue] or -10) / 10) ~= ten then
    begin_slot(tallies, WAITS_AT + ten % TALLY_TENS * 208, struct.pack('>I4', ten) .. table.concat(waits))
  end
  redis.call('HSET', stats, 'second', second)
  seconds[queue] = second
end

local second = string.format('%.0f', math.floor(now / 1000))
for place, waits in pairs(taken) do
  local queue, prefix = math.floor(place / LANES), 'wait:' .. place % LANES .. ':'
  local stats, claimed = stats_of(queue), 0
  if seconds[queue] ~= second then begin_second(queue, second) end
  for bucket, count in pairs(waits) do
    if count > 0 then redis.call('HINCRBY', stats, prefix .. bucket, count) end
    claimed = claimed + count
  end
  if claimed > 0 then redis.call('HINCRBY', stats, 'claimed', claimed) end
end
if next(twins) then put_back_twins() end
for _, line in ipairs(aside) do redis.call('ZADD', unpack(line)) end
-- Whoever took its fill passes the bell on, for every queue that has more: it may have heard the
-- bell of one queue and filled itself from another.
local is_full = next(taken) and (wanted <= 0 or next(twins) or #aside > 0)
if bells == 1 and (is_full or left_off) then
--#include doorbell
  for queue = 0, queues - 1 do
    local first = lists_of(queue, 0)
    local at = first - LINES
    if room[queue] > 0 and (has_messages(first, LANES)
      or redis.call('EXISTS', KEYS[at], KEYS[at + 1], KEYS[at + 2]) > 0) then
      ring(KEYS[at - 1])
    end
  end
end
if looked_after ~= '' then
--#include marks
  for queue = 0, queues - 1 do
    local lanes, at = tonumber(looked_after:sub(queue + 1, queue + 1)), lists_of(queue, 0) - LINES
    for here = 0, LANES - 1 do
      if lanes % 2 == 1 then
        if has_messages(lists_of(queue, here), 1) or redis.call('EXISTS', KEYS[at + 3 + here]) == 1 then
          mark(KEYS[MARKS], here, stats_of(queue))
        else
          redis.call('SREM', KEYS[MARKS], here .. stats_of(queue))
        end
      end
      lanes = math.floor(lanes / 2)
    end
  end
end
return found
