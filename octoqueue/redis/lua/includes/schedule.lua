-- Where a schedule stands: digest of its ticks, what the next tick is counted from, and the last
-- tick that was fired, 0 when none was. A hash field is `digest last fired`.
local function standing_of(schedules, name)
  local state = redis.call('HGET', schedules, name)
  if not state then return nil end
  local digest, last, fired = state:match('^(%x+) (%d+) (%d+)$')
  return digest, tonumber(last), tonumber(fired)
end

local function stand(schedules, name, digest, last, fired)
  redis.call('HSET', schedules, name, string.format('%s %.0f %.0f', digest, last, fired))
end
