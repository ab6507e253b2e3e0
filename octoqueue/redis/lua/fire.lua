-- Purpose    Enqueue the message of one tick of a schedule, and record the tick.
-- Guarantee  Both or neither. The tick that was fired last is the lock: who knows another one is
--            refused, so each tick is fired once and in order, however many ask. A tick that is not
--            due by this server's clock is refused. One whose message is a duplicate is recorded.
--            Of a schedule that was forgotten (the server was emptied) a worker that knows it fires
--            the tick that is due, also when another has begun it anew meanwhile and fired nothing.
-- KEYS       those of enqueue.lua for one message, then [1] hash of schedules
-- ARGV       those of enqueue.lua, then [1] name [2] digest of its ticks [3] the last tick the
--            caller knows of [4] the tick
-- Returns    [1] 1 enqueued or refused by enqueue.lua, see [4]; 2 another tick was the last; 3 the
--            tick is not due   [2] the last tick now   [3] now   [4] what enqueue.lua answers
--#include now
--#include schedule

local FIRED, MOVED_ON, EARLY, NOTHING = 1, 2, 3, { {}, {} }
local schedules, first = KEYS[#KEYS], #ARGV - 3
local name, wanted, known, tick = ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3]

-- The whole of enqueue.lua, so that a periodic message is stored like any other.
local function enqueue()
--#script enqueue
end

local now = now_ms(ARGV[1])
local digest, last, fired = standing_of(schedules, name)
known, tick = tonumber(known), tonumber(tick)
local is_begun_anew = digest == wanted and fired == 0 and known < last
if digest and not is_begun_anew and (last ~= known or tick <= last) then return { MOVED_ON, last, now, NOTHING } end
last = known
if tick > now then return { EARLY, last, now, NOTHING } end
local answer = enqueue()
if #answer[1] == 0 then
  last = tick
  stand(schedules, name, wanted, last, last)
end
return { FIRED, last, now, answer }
