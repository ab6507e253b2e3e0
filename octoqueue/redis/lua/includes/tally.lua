-- Counting what happens by the second, in one string of a fixed size a queue; `lanes/tallies.py`
-- reads it. Offsets in bytes from 0, numbers big-endian and unsigned:
--   arrivals  0      a lane:  600 slots of 1 s    second, count                            4 bytes each
--   ended     14400          600 slots of 1 s    second, acked, failed, runs, us, ms2      4, the last two 8
--   starts    33600  a lane:   61 slots of 10 s   ten seconds, 17 wait buckets, 10 seconds  4 bytes each
-- A slot begins with the number of its second, or ten seconds. One that is of another time is begun
-- anew: a queue that was idle for hours needs no sweeping, and a clock set back counts nothing twice.
local TALLY_SECONDS, TALLY_TENS, TALLY_BYTES = 600, 61, 54096
local ARRIVAL_BYTES, ENDED_BYTES, STARTS_BYTES = 8, 32, 112
local ENDED_AT, STARTS_AT = 14400, 33600

-- Add to the numbers of a slot; `counts` has type, offset in bits, count, and so on.
local function tally(tallies, at, bytes, stamp, counts)
  local bit = at * 8
  local words, last = { 'BITFIELD', tallies, 'GET', 'u32', bit }, 5
  for index = 1, #counts, 3 do
    words[last + 1], words[last + 2] = 'INCRBY', counts[index]
    words[last + 3], words[last + 4] = bit + counts[index + 1], counts[index + 2]
    last = last + 4
  end
  if redis.call(unpack(words))[1] == stamp then return end
  if redis.call('STRLEN', tallies) < TALLY_BYTES then
    -- A string that grows is given twice the memory, so it gets its size at once.
    local begun = redis.call('GET', tallies)
    redis.call('DEL', tallies)
    redis.call('SETRANGE', tallies, TALLY_BYTES - 1, '\0')
    redis.call('SETRANGE', tallies, 0, begun)
  end
  redis.call('SETRANGE', tallies, at, struct.pack('>I4', stamp) .. string.rep('\0', bytes - 4))
  redis.call(unpack(words))
end
