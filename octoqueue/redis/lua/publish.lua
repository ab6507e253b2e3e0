-- Purpose    Publish what is expected to arrive for a fleet.
-- Guarantee  The forecast that was made last wins, whichever arrives last. One of the future, as after
--            a clock was set back, never wins.
-- KEYS       [1] hash of the fleet's memory
-- ARGV       [1] now in ms, or 0   [2] when it was made, in ms   [3] the forecast   [4] how long the
--            memory is kept, in ms
-- Returns    1 when it was the last that was made, else 0
--#include now

local now = now_ms(ARGV[1])
local there = tonumber(redis.call('HGET', KEYS[1], 'forecast_at') or 0)
local made = math.min(tonumber(ARGV[2]), now)
if made < there and there <= now then return 0 end
redis.call('HSET', KEYS[1], 'forecast', ARGV[3], 'forecast_at', string.format('%.0f', made))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
