-- Purpose    Write down what was decided for a fleet, and what became of its wishes.
-- Guarantee  Whoever decided last, by the store's clock, wins; the moment of the last activity never
--            goes back; a wish is opened once and comes true once, however many replicas say so.
--            What is of the future, as after a clock was set back, never wins.
-- KEYS       [1] hash of the fleet's memory   [2] list of lead times   [3] list of decisions
-- ARGV       [1] now in ms, or 0   [2] when it was decided, in ms   [3] the decision   [4] what
--            tells it from the one before   [5] when the fleet last had something to do, 0 for never   [6] how long all this
--            is kept, in ms   [7] decisions kept   [8] lead times kept   [9…] wishes, each as what
--            became of it (open, drop, true), its field, its value: the moment it is opened, the
--            lead time
-- Returns    [1] 1 when the decision was the last, else 0   [2] the positions, from 0, of the
--            wishes that came true just now
--#include now

local now, memory, newest, came_true = now_ms(ARGV[1]), KEYS[1], 0, {}
local at = math.min(tonumber(ARGV[2]), now)

local function moment_of(field)
  local there = tonumber(redis.call('HGET', memory, field) or 0)
  return there <= now and there or 0
end

for place = 9, #ARGV, 3 do
  local fate, field, value = ARGV[place], ARGV[place + 1], ARGV[place + 2]
  if fate == 'open' then
    redis.call('HSETNX', memory, field, value)
  elseif redis.call('HDEL', memory, field) == 1 and fate == 'true' then
    redis.call('LPUSH', KEYS[2], value)
    came_true[#came_true + 1] = (place - 9) / 3
  end
end
redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[8]) - 1)

local told = string.format('%.0f', at)
local active = math.min(tonumber(ARGV[5]), now)
if active > moment_of('active_at') then
  redis.call('HSET', memory, 'active_at', string.format('%.0f', active))
end
if at >= moment_of('decided_at') then
  newest = 1
  if redis.call('HGET', memory, 'mark') ~= ARGV[4] then
    redis.call('LPUSH', KEYS[3], ARGV[3])
    redis.call('LTRIM', KEYS[3], 0, tonumber(ARGV[7]) - 1)
  end
  redis.call('HSET', memory, 'decision', ARGV[3], 'decided_at', told, 'mark', ARGV[4])
end
for key = 1, 3 do redis.call('PEXPIRE', KEYS[key], ARGV[6]) end
return { newest, came_true }
