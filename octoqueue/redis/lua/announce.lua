-- Purpose    Keep results and append events of ids that nobody holds a lease of.
-- Guarantee  A call sent twice appends once: an event is left out when one with its number, or a
--            greater one, stands in the stream. Who waits is told in the same step.
-- KEYS       [1…] streams and results, once each, in any order; ARGV names them by their index
-- ARGV       [1] now in ms, or 0   [2] events a stream keeps   [3] how long after the last one, in ms
--            [4] number of announcements, then for each: stream, its channel,
--                result, 0 for none, and when there is one: its channel, ttl in ms, body,
--                number of events, then for each: its number, event
-- Returns    nothing
--#include now
--#include append_events

local now, arg = now_ms(ARGV[1]), 5
local keeping = { bound = ARGV[2], ttl = ARGV[3] }

local function take()
  arg = arg + 1
  return ARGV[arg - 1]
end

for _ = 1, tonumber(ARGV[4]) do
  local stream, channel = KEYS[tonumber(take())], take()
  local result = KEYS[tonumber(take())]
  if result then
    local told, ttl, body = take(), take(), take()
    redis.call('SET', result, body, 'PX', ttl)
    redis.call('PUBLISH', told, body)
  end
  for _ = 1, tonumber(take()) do
    local number = tonumber(take())
    append_events(stream, channel, keeping, now, { sender = 'announcer', first = number, events = { take() } })
  end
end
