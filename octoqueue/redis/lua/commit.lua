-- Purpose    End leases: ack, retry, dead-letter or release, with all that belongs to the ending.
-- Guarantee  Each settlement happens whole or not at all; one whose lease is gone (reclaimed, or
--            settled before by the same call sent twice) changes nothing.
-- KEYS       [1…] every key a settlement touches, once each, in any order; ARGV names them by
--            their index, 0 for none
-- ARGV       [1] now in ms, or 0
--            [2] number of plain ack groups, then for each: leased hash, stats hash, n, n tokens
--            [3] number of running times, then for each: stats hash, count, total us, squares ms2
--            [4] number of settlements, then for each: leased hash, stats hash, token, outcome
--                (1 ack, 2 retry, 3 dead letter, 4 release), the message's list, delayed zset,
--                dead zset, dead hash, doorbell, delay in ms, reason,
--                result key, result ttl in ms, result channel, result,
--                number of follow-ups, then for each: list, delayed zset, stats hash, doorbell,
--                delay in ms, payload
-- Returns    [1] plain acks refused   [2] tokens of the refused settlements
--#include now
--#include header
--#include doorbell
--#include delay_until

local ACK, RETRY, DEAD_LETTER = 1, 2, 3
local COUNTED = { 'acked', 'retried', 'dead', 'released' }

local now, arg = now_ms(ARGV[1]), 2
local packed_now = struct.pack('>I8', now)
local refused_acks, refused = 0, {}

local function take()
  arg = arg + 1
  return ARGV[arg - 1]
end
local function take_number() return tonumber(take()) end
local function take_key() return KEYS[tonumber(take())] end

for _ = 1, take_number() do
  local leased, stats, count = take_key(), take_key(), take_number()
  local removed = 0
  for first = arg, arg + count - 1, 1000 do
    removed = removed + redis.call('HDEL', leased, unpack(ARGV, first, math.min(first + 999, arg + count - 1)))
  end
  arg = arg + count
  if removed > 0 then redis.call('HINCRBY', stats, 'acked', removed) end
  refused_acks = refused_acks + count - removed
end

for _ = 1, take_number() do
  local stats = take_key()
  redis.call('HINCRBY', stats, 'runs', take())
  redis.call('HINCRBY', stats, 'run_us', take())
  redis.call('HINCRBY', stats, 'run_ms2', take())
end

local function enqueue(list, delayed, bell, delay, payload)
  if delay == 0 then
    redis.call('RPUSH', list, ready_from(payload, packed_now))
    ring(bell)
  elseif delay_until(delayed, now + delay, payload) then
    ring(bell)
  end
end

for _ = 1, take_number() do
  local leased, stats, token, outcome = take_key(), take_key(), take(), take_number()
  local list, delayed, dead, dead_hash, bell = take_key(), take_key(), take_key(), take_key(), take_key()
  local delay, reason = take_number(), take()
  local result_key, result_ttl, channel, result = take_key(), take(), take(), take()
  local payload = redis.call('HGET', leased, token)
  if payload then
    redis.call('HDEL', leased, token)
    redis.call('HINCRBY', stats, COUNTED[outcome], 1)
    if outcome == RETRY then
      enqueue(list, delayed, bell, delay, counted_as(payload, 0, attempt_of(payload) + 1))
    elseif outcome == DEAD_LETTER then
      local id = id_of(payload)
      redis.call('ZADD', dead, now, id)
      redis.call('HSET', dead_hash, id, struct.pack('>I4', #payload) .. payload .. reason)
    elseif outcome ~= ACK then
      redis.call('LPUSH', list, payload)
      ring(bell)
    end
    if result_key then
      -- SET refuses a ttl below 1, and an error here would lose the follow-ups.
      if tonumber(result_ttl) >= 1 then redis.call('SET', result_key, result, 'PX', result_ttl) end
      redis.call('PUBLISH', channel, result)
    end
  else
    refused[#refused + 1] = token
  end
  for _ = 1, take_number() do
    local to, later, to_stats, to_bell = take_key(), take_key(), take_key(), take_key()
    local wait, message = take_number(), take()
    if payload then
      enqueue(to, later, to_bell, wait, message)
      redis.call('HINCRBY', to_stats, 'enqueued', 1)
    end
  end
end
return { refused_acks, refused }
