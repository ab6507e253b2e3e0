-- Purpose    Let one agent lead a fleet for a while: it alone changes how large the fleet is.
-- Guarantee  Of several who ask, one leads until its time is over by the server's clock; after the
--            clock was set back, for no longer than twice the time it asked for.
-- KEYS       [1] hash of the fleet's memory
-- ARGV       [1] now in ms, or 0   [2] who asks   [3] for how long, in ms; 0 gives it up
--            [4] how long the memory is kept, in ms
-- Returns    who leads from now on; '' when nobody does
--#include now

local now, span = now_ms(ARGV[1]), tonumber(ARGV[3])
local there = redis.call('HMGET', KEYS[1], 'leader', 'leader_until', 'leader_for')
local left = tonumber(there[2] or 0) - now
local is_led = there[1] and left > 0 and left <= 2 * tonumber(there[3] or left)
if is_led and there[1] ~= ARGV[2] then
  return there[1]
end
if span == 0 then
  redis.call('HDEL', KEYS[1], 'leader', 'leader_until', 'leader_for')
  return ''
end
local ends = string.format('%.0f', now + span)
redis.call('HSET', KEYS[1], 'leader', ARGV[2], 'leader_until', ends, 'leader_for', ARGV[3])
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[4]))
return ARGV[2]
