-- Purpose    Give the messages a dead session holds in one queue back to their lanes, at the head,
--            oldest first; what they took from caps and limits is given back.
-- Guarantee  Nothing is taken from a session that has renewed itself meanwhile. The delivery count
--            of each message goes up by one; the next worker decides whether it was one too many.
-- KEYS       [1] workers zset   [2] stats hash   [3] doorbell, when the call has it,
--            then for each partition: leased hash of the session, high, normal and low list;
--            at the end the queue's 12 line keys and the 4 that lines share
--            (all that is leased stands in the first; workers of an older version used each)
-- ARGV       [1] now in ms, or 0   [2] session   [3] partitions   [4] has doorbell (0/1)
--            [5] partition (from 0) of each slot of ids, 2 bytes each
-- Returns    messages given back, -1 when the session is alive
-- Bound      a leased hash never holds more than the worker's slots
--#include now
--#include header
--#include doorbell
--#include by_age
--#include extension
--#include place
--#include gates

local expires_at = redis.call('ZSCORE', KEYS[1], ARGV[2])
local now = now_ms(ARGV[1])
if expires_at and tonumber(expires_at) > now then return -1 end

local partitions, bells, given_back = tonumber(ARGV[3]), tonumber(ARGV[4]), 0
local lines = lines_at(KEYS, #KEYS - 15, #KEYS - 3)

-- The list a message came from: its id says which partition it is in.
local function list_of(payload)
  local slot = struct.unpack('>H', payload, 31) % (#ARGV[5] / 2)
  local partition = partitions > 1 and struct.unpack('>H', ARGV[5], 2 * slot + 1) or 0
  return KEYS[3 + bells + partition * 4 + lane_of(payload)]
end

for partition = 0, partitions - 1 do
  local at = 3 + bells + partition * 4
  local held, tokens = {}, {}
  local leased = redis.call('HGETALL', KEYS[at])
  for index = 1, #leased, 2 do
    local token, payload = leased[index], leased[index + 1]
    held[#held + 1] = payload
    tokens[payload] = tokens[payload] or {}
    table.insert(tokens[payload], token)
  end
  youngest_first(held)
  for _, payload in ipairs(held) do
    local token, extension = table.remove(tokens[payload]), gates_of(payload)
    if extension then give_back(lines, extension, token, {}, false, now) end
    local back = counted_as(payload, deliveries_of(payload) + 1, attempt_of(payload))
    place(lines, list_of(payload), back, true)
  end
  if #held > 0 then redis.call('DEL', KEYS[at]) end
  given_back = given_back + #held
end
if given_back > 0 then
  redis.call('HINCRBY', KEYS[2], 'reclaimed', given_back)
  if bells == 1 then ring(KEYS[3]) end
end
return given_back
