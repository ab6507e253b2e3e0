-- Purpose    Tell where a schedule stands; one that was never seen, or has changed, begins now.
-- Guarantee  What begins has no past: nothing of it is fired that was due before. A schedule that is
--            counted from a later moment than now stays there.
-- KEYS       [1] hash of schedules
-- ARGV       [1] now in ms, or 0   [2] name   [3] digest of its ticks   [4] may it begin (0/1)
-- Returns    [1] what the next tick is counted from, -1 when it has not begun   [2] the last tick
--            that was fired, -1 when none was   [3] now
--#include now
--#include schedule

local now, name, wanted = now_ms(ARGV[1]), ARGV[2], ARGV[3]
local digest, last, fired = standing_of(KEYS[1], name)
if digest ~= wanted then
  if ARGV[4] == '1' then
    last, fired = math.max(last or 0, now), fired or 0
    stand(KEYS[1], name, wanted, last, fired)
  else
    last = -1
  end
end
return { last, (fired or 0) > 0 and fired or -1, now }
