-- Purpose    Append what running messages tell to their streams.
-- Guarantee  Only whoever holds the lease appends. A call sent twice appends once. What is appended
--            is published in the same step, so that a stream and its followers never disagree.
-- KEYS       [1…] leased hashes and streams, once each, in any order; ARGV names them by their index
-- ARGV       [1] now in ms, or 0   [2] events a stream keeps   [3] how long after the last one, in ms
--            [4] number of emissions, then for each: leased hash, stream, token, channel,
--                sender, the sender's number of the first event, number of events, events
-- Returns    tokens of the emissions whose lease is gone
--#include now
--#include append_events

local now, arg = now_ms(ARGV[1]), 5
local keeping, refused = { bound = ARGV[2], ttl = ARGV[3] }, {}

local function take()
  arg = arg + 1
  return ARGV[arg - 1]
end

for _ = 1, tonumber(ARGV[4]) do
  local leased, stream = KEYS[tonumber(take())], KEYS[tonumber(take())]
  local token, channel, sender, first = take(), take(), take(), tonumber(take())
  local told = { sender = sender, first = first, events = {} }
  for index = 1, tonumber(take()) do told.events[index] = take() end
  if redis.call('HEXISTS', leased, token) == 1 then
    append_events(stream, channel, keeping, now, told)
  else
    refused[#refused + 1] = token
  end
end
return refused
