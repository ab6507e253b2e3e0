-- Purpose    Read all that scaling remembers of one fleet. Writes nothing.
-- KEYS       [1] hash of the fleet's memory   [2] list of lead times
-- ARGV       [1] now in ms, or 0   [2] lead times to read
-- Returns    [1] now in ms   [2] the hash as field, value, field, value, …   [3] the lead times,
--            newest first
--#include now

return {
  now_ms(ARGV[1]),
  redis.call('HGETALL', KEYS[1]),
  redis.call('LRANGE', KEYS[2], 0, tonumber(ARGV[2]) - 1),
}
