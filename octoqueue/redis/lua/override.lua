-- Purpose    Let a number of workers stand in for a fleet's demand until it expires, or no longer.
-- Guarantee  The last one wins. When it ends is told by the server's clock.
-- KEYS       [1] hash of the fleet's memory
-- ARGV       [1] now in ms, or 0   [2] for how long, in ms; 0 ends the one there is
--            [3] what is said   [4] how long the memory is kept, in ms
-- Returns    [1] now in ms   [2] until when it holds, in ms; when one was ended, until when it would
--            have held, and 0 when there was none
--#include now

local now, span = now_ms(ARGV[1]), tonumber(ARGV[2])
local there = tonumber(redis.call('HGET', KEYS[1], 'override_until') or 0)
if span == 0 then
  redis.call('HDEL', KEYS[1], 'override', 'override_until')
  if there <= now then there = 0 end
  return { now, there }
end
redis.call('HSET', KEYS[1], 'override', ARGV[3], 'override_until', string.format('%.0f', now + span))
redis.call('PEXPIRE', KEYS[1], math.max(tonumber(ARGV[4]), span))
return { now, now + span }
