-- Purpose    End leases: ack, retry, dead-letter, release, snooze, cancel or expire, with all that
--            belongs to the ending.
-- Guarantee  Each settlement happens whole or not at all; one whose lease is gone (reclaimed, or
--            settled before by the same call sent twice) changes nothing. A cancelled message does
--            not wait again. A follow-up whose unique key is taken is left out and counted. What a
--            lease took from caps and limits is given back with it: of a limit all that was not used,
--            and all of it when it was no ack and nothing is said of what was used. Who waits for a
--            place under a queue's cap hears its bell.
-- KEYS       [1…] every key a settlement touches, once each, in any order; ARGV names them by
--            their index, 0 for none. Behind each stats hash stand the tallies of its queue
-- ARGV       [1] now in ms, or 0
--            [2] tombstones, when they end, locks of unique keys, when they end: the last two 0
--                when no message here can have a key; the first of the 4 keys that lines share, or
--                0; the set of marks, or 0
--            [3] number of plain ack groups, then for each: leased hash, stats hash, doorbell of a
--                queue with a cap, n, n tokens
--            [4] number of running times, then for each: stats hash, count, total us, squares ms2
--            [5] number of ack groups of messages that are extended and nothing else, then for each:
--                leased hash, stats hash, doorbell, first line key, n, n tokens
--            [6] number of settlements, then for each: leased hash, stats hash, token, outcome
--                (1 ack, 2 retry, 3 dead letter, 4 release, 5 snooze, 6 cancel, 7 expire), the
--                message's list, delayed zset, dead zset, dead hash, doorbell, delay in ms, reason,
--                result key, result ttl in ms, result channel, result (a ttl of -1: only that
--                of a cancelled message), the first of the queue's 12 line keys, or 0,
--                number of limits of which something was used, then for each: limit, units,
--                number of follow-ups, then for each: list, delayed zset, stats hash, doorbell,
--                first line key, delay in ms, payload;
--                the history of its attempts, and when there is one: record of this attempt, empty
--                when it is not tried again, how many are kept, for how many ms;
--                the stream of its events, and when there is one: channel, events it keeps, for how
--                many ms after the last, sender, number of the first, number of events, events,
--                then the last one, and the last one of a cancelled message, empty for none
-- Returns    [1] acks of groups refused   [2] tokens of the refused settlements
--#include now
--#include doorbell
--#include tally

local now, arg = now_ms(ARGV[1]), 2
local refused_acks, refused = 0, {}

local function take()
  arg = arg + 1
  return ARGV[arg - 1]
end
local function take_number() return tonumber(take()) end
local function take_key() return KEYS[tonumber(take())] end

local tombstones, tombstones_end, locks, locks_end = take_key(), take_key(), take_key(), take_key()
local shared, marks, SLICE = take_number(), take_key(), 1000
local has_tombstones = redis.call('EXISTS', tombstones) == 1

local second, begun = math.floor(now / 1000), {}
local packed_second = struct.pack('>I4', second)

-- The first commit of a second that ends something of a queue notes what had ended before.
local function begin_second(stats_at)
  begun[stats_at] = true
  local tallies = KEYS[stats_at + 1]
  if redis.call('GETRANGE', tallies, '12', '15') == packed_second then return end
  local before = redis.call('HMGET', KEYS[stats_at], 'acked', 'retried', 'dead', 'runs', 'run_us', 'run_ms2')
  for index = 1, 6 do before[index] = math.min(tonumber(before[index] or 0), TALLY_LARGEST) end
  local acked, failed, runs = before[1] % TALLY_MOST, (before[2] + before[3]) % TALLY_MOST, before[4] % TALLY_MOST
  local slot = packed_second .. struct.pack('>I4I4I4i8i8', acked, failed, runs, before[5], before[6])
  begin_slot(tallies, ENDED_AT + second % TALLY_SECONDS * 32, slot)
  begin_slot(tallies, LAST_ENDED_AT, packed_second)
end

-- Who ran to the end is not cancelled any more, whatever somebody wished meanwhile.
local function forget_cancels(leased, first, last)
  local idents = {}
  for at = first, last do idents[#idents + 1] = ARGV[at]:sub(1, 16) end
  for index, stone in ipairs(redis.call('HMGET', tombstones, unpack(idents))) do
    if stone and redis.call('HEXISTS', leased, ARGV[first + index - 1]) == 1 then
      redis.call('HDEL', tombstones, idents[index])
    end
  end
end

-- End the leases of the next `count` tokens. Returns how many there were.
local function acknowledge(leased, stats_at, count)
  local removed, last = 0, arg + count - 1
  for first = arg, last, SLICE do
    local until_at = math.min(first + SLICE - 1, last)
    if has_tombstones then forget_cancels(leased, first, until_at) end
    removed = removed + redis.call('HDEL', leased, unpack(ARGV, first, until_at))
  end
  if removed > 0 then
    if not begun[stats_at] then begin_second(stats_at) end
    redis.call('HINCRBY', KEYS[stats_at], 'acked', removed)
  end
  arg, refused_acks = last + 1, refused_acks + count - removed
  return removed
end

for _ = 1, take_number() do
  local leased, stats_at, bell = take_key(), take_number(), take_key()
  if acknowledge(leased, stats_at, take_number()) > 0 then ring(bell) end
end

-- Squares of runs that take a day come to the end of what a counter can hold after a thousand of them:
-- then it begins anew, as an error here would stop the script before it settles anything.
local function add_up(stats, field, more)
  if type(redis.pcall('HINCRBY', stats, field, more)) ~= 'number' then redis.call('HSET', stats, field, more) end
end

for _ = 1, take_number() do
  local stats_at = take_number()
  local stats = KEYS[stats_at]
  if not begun[stats_at] then begin_second(stats_at) end
  redis.call('HINCRBY', stats, 'runs', take())
  add_up(stats, 'run_us', take())
  add_up(stats, 'run_ms2', take())
end

if ARGV[arg] == '0' and ARGV[arg + 1] == '0' then return { refused_acks, refused } end

-- What follows is for what most commits do not have, so that they make no functions for it.
--#include header
--#include delay_until
--#include append_events
--#include extension
--#include unique
--#include cancelled
--#include place
--#include marks
--#include arrivals

local ACK, RETRY, DEAD_LETTER, RELEASE, SNOOZE, CANCEL, EXPIRE = 1, 2, 3, 4, 5, 6, 7
-- Numbers come from programs of every age; none of them may stop the script half-way.
local MOST_UNITS, MOST_TTL_MS = 2 ^ 32 - 1, 1e17
local COUNTED = { 'acked', 'retried', 'dead', 'released', 'snoozed', 'cancelled', 'expired' }
local packed_now, known_lines = struct.pack('>I8', now), {}

-- Nobody else comes in between, so what many settlements would do again is done once a call.
local counted, arrived, rung, marked, capped = {}, {}, {}, {}, {}

local function arrive(stats_at, lane)
  local lanes = arrived[stats_at]
  if not lanes then
    lanes = {}
    arrived[stats_at] = lanes
  end
  lanes[lane] = (lanes[lane] or 0) + 1
end

local function count_one(stats, field)
  local counts = counted[stats]
  if not counts then
    counts = {}
    counted[stats] = counts
  end
  counts[field] = (counts[field] or 0) + 1
end

local function ring_once(bell)
  if bell and not rung[bell] then
    rung[bell] = true
    ring(bell)
  end
end

local function mark_once(lane, stats)
  local lanes = marked[stats]
  if not lanes then
    lanes = {}
    marked[stats] = lanes
  end
  if not lanes[lane] then
    lanes[lane] = true
    mark(marks, lane, stats)
  end
end

local function has_cap(stats)
  if capped[stats] == nil then capped[stats] = redis.call('HEXISTS', stats, 'cap') == 1 end
  return capped[stats]
end

-- Made only when there is something to give back.
local function prepare_giving_back()
--#include gates
  return give_back
end
local giving_back

local function take_lines()
  local at = take_number()
  if at == 0 then return nil end
  known_lines[at] = known_lines[at] or lines_at(KEYS, at, shared)
  return known_lines[at]
end

-- What the leases of the next `count` tokens hold, none twice: token, payload, token, payload, …
local function payloads_of(leased, count)
  local found, known = {}, {}
  for first = arg, arg + count - 1, SLICE do
    local last = math.min(first + SLICE - 1, arg + count - 1)
    for index, payload in ipairs(redis.call('HMGET', leased, unpack(ARGV, first, last))) do
      local token = ARGV[first + index - 1]
      if payload and not known[token] then
        known[token] = true
        found[#found + 1], found[#found + 2] = token, payload
      end
    end
  end
  return found
end

for _ = 1, take_number() do
  local leased, stats_at, bell, lines, count = take_key(), take_number(), take_key(), take_lines(), take_number()
  local ended, woken = payloads_of(leased, count), false
  acknowledge(leased, stats_at, count)
  for at = 1, #ended, 2 do
    local token, payload = ended[at], ended[at + 1]
    local extension = extension_of(payload)
    if extension and extension.unique then release_key(locks, payload, UNTIL_DONE) end
    if is_gated(extension) then
      giving_back = giving_back or prepare_giving_back()
      woken = giving_back(lines, extension, token, {}, true, now) or woken
    end
  end
  if bell and #ended > 0 and (woken or redis.call('HEXISTS', KEYS[stats_at], 'cap') == 1) then ring(bell) end
end

local function enqueue(list, delayed, stats, bell, lines, delay, payload)
  if delay == 0 then
    mark_once(lane_of(payload) - 1, stats)
    place(lines, list, ready_from(payload, packed_now))
    ring_once(bell)
  elseif delay_until(delayed, now + delay, payload) then
    ring_once(bell)
  end
end

-- Take the events of a settlement and, when it took effect, append them.
local function tell(payload, is_cancelled)
  local stream = take_key()
  if not stream then return end
  local channel, bound, ttl, sender, first = take(), take(), take(), take(), take_number()
  local keeping, told = { bound = bound, ttl = ttl }, { sender = sender, first = first, events = {} }
  for index = 1, take_number() do told.events[index] = take() end
  local closing, if_cancelled = take(), take()
  local last = is_cancelled and if_cancelled or closing
  if last ~= '' then told.events[#told.events + 1] = last end
  if payload then append_events(stream, channel, keeping, now, told) end
end

-- Add an attempt to the history of its message, or forget it with a message that is gone for good.
local function remember(outcome)
  local history = take_key()
  if not history then return end
  local record, most, ttl = take(), take_number(), take()
  if outcome == RETRY or (outcome == ACK and record ~= '') then
    redis.call('RPUSH', history, packed_now .. record)
    redis.call('LTRIM', history, -most, -1)
    redis.call('PEXPIRE', history, ttl)
  elseif outcome == DEAD_LETTER then
    redis.call('PEXPIRE', history, ttl)
  elseif outcome == ACK or outcome == CANCEL or outcome == EXPIRE then
    redis.call('DEL', history)
  end
end

-- What becomes of a message that may be cancelled: outcome, ttl of its result, result.
local function ending_of(payload, outcome, ttl, result)
  local id = id_of(payload)
  local cancelled_ttl, cancelled = cancelled_result(tombstones, id)
  if outcome == ACK or outcome == DEAD_LETTER then
    redis.call('HDEL', tombstones, id)
  elseif cancelled then
    has_ended(tombstones, tombstones_end, id, now)
    if ttl == '-1' then ttl, result = cancelled_ttl, cancelled end
    outcome = CANCEL
  end
  return outcome, ttl, result
end

for _ = 1, take_number() do
  local leased, stats_at, token, outcome = take_key(), take_number(), take(), take_number()
  local stats = KEYS[stats_at]
  local list, delayed, dead, dead_hash, bell = take_key(), take_key(), take_key(), take_key(), take_key()
  local delay, reason = take_number(), take()
  local result_key, result_ttl, channel, result = take_key(), take(), take(), take()
  local lines, used = take_lines(), {}
  for _ = 1, take_number() do
    local limit, units = take(), take_number()
    if units and units == units then used[limit] = math.max(0, math.min(units, MOST_UNITS)) end
  end
  local payload = redis.call('HGET', leased, token)
  if payload then
    redis.call('HDEL', leased, token)
    if has_tombstones then
      outcome, result_ttl, result = ending_of(payload, outcome, result_ttl, result)
    end
    count_one(stats, COUNTED[outcome])
    if outcome <= DEAD_LETTER and not begun[stats_at] then begin_second(stats_at) end
    if bell and has_cap(stats) then ring_once(bell) end
    local is_over = outcome == ACK or outcome == DEAD_LETTER or outcome >= CANCEL
    if is_over and is_extended(payload) then release_key(locks, payload, UNTIL_DONE) end
    local extension = lines and gates_of(payload)
    if extension then
      giving_back = giving_back or prepare_giving_back()
      if giving_back(lines, extension, token, used, outcome == ACK, now) then ring_once(bell) end
    end
    if outcome == RETRY then
      enqueue(list, delayed, stats, bell, lines, delay, counted_as(payload, 0, attempt_of(payload) + 1))
    elseif outcome == SNOOZE then
      enqueue(list, delayed, stats, bell, lines, delay, counted_as(payload, 0, attempt_of(payload)))
    elseif outcome == DEAD_LETTER then
      local id = id_of(payload)
      redis.call('ZADD', dead, now, id)
      redis.call('HSET', dead_hash, id, struct.pack('>I4', #payload) .. payload .. reason)
    elseif outcome == RELEASE then
      place(lines, list, payload, true)
      mark_once(lane_of(payload) - 1, stats)
      ring_once(bell)
    end
    if result_key and result_ttl ~= '-1' then
      -- SET refuses a ttl below 1, above what it can add up, and fractions; an error here would lose
      -- the message.
      local ttl = math.min(tonumber(result_ttl), MOST_TTL_MS)
      if ttl >= 1 then redis.call('SET', result_key, result, 'PX', string.format('%.0f', ttl)) end
      redis.call('PUBLISH', channel, result)
    end
  else
    refused[#refused + 1] = token
  end
  for _ = 1, take_number() do
    local to, later, to_stats_at, to_bell = take_key(), take_key(), take_number(), take_key()
    local to_lines, wait, message = take_lines(), take_number(), take()
    local to_stats = KEYS[to_stats_at]
    if payload then
      local extension = extension_of(message)
      local unique = extension and extension.unique
      if unique and holder_of(locks, unique[2], now) then
        count_one(to_stats, 'duplicates')
      else
        if unique then lock_key(locks, locks_end, unique, id_of(message), now) end
        enqueue(to, later, to_stats, to_bell, to_lines, wait, message)
        arrive(to_stats_at, lane_of(message) - 1)
      end
    end
  end
  remember(payload and outcome)
  tell(payload, outcome == CANCEL)
end
for stats, counts in pairs(counted) do
  for field, count in pairs(counts) do redis.call('HINCRBY', stats, field, count) end
end
for stats_at, lanes in pairs(arrived) do
  for lane, count in pairs(lanes) do count_arrivals(KEYS[stats_at], KEYS[stats_at + 1], lane, now, count) end
end
return { refused_acks, refused }
