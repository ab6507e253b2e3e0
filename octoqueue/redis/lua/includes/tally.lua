-- What happened by the second, in one string of a fixed size a queue; `lanes/tallies.py` reads it.
-- Counters of the stats hash only ever grow, so a slot holds what they were when its second began:
-- only the first of a second writes, everybody else looks at four bytes. Offsets in bytes from 0,
-- numbers big-endian:
--   last      0     a lane, then one for `ended`: the second whose slot was begun last       4 bytes each
--   arrivals  16    a lane: 600 slots of 1 s   second, arrived                              4 bytes each
--   ended     14416         600 slots of 1 s   second, acked, failed, runs, then us and ms2  4, the last 8
--   starts    33616         600 slots of 1 s   second, started from each lane               4 bytes each
--   waits     43216          61 slots of 10 s  ten seconds, 17 wait buckets of each lane     4 bytes each
-- A slot begins with the number of its second, or ten seconds: one of another time counts for
-- nothing, so that a queue that was idle for hours needs no sweeping.
local TALLY_SECONDS, TALLY_TENS, TALLY_MOST, TALLY_BYTES = 600, 61, 2 ^ 32, 55904
-- The largest double below 2^63, which 8 bytes hold no more.
local TALLY_LARGEST = 2 ^ 63 - 1024
local ARRIVALS_AT, ENDED_AT, STARTS_AT, WAITS_AT, LAST_ENDED_AT = 16, 14416, 33616, 43216, 12

-- Write a slot; the string gets its size at once, as one that grows is given twice the memory.
local function begin_slot(tallies, at, slot)
  if redis.call('EXISTS', tallies) == 0 then redis.call('SETRANGE', tallies, TALLY_BYTES - 1, '\0') end
  redis.call('SETRANGE', tallies, at, slot)
end
