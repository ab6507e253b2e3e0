-- How many more messages of a queue may be leased: none while it is paused, any without a cap; and the
-- second in which the last were.
local function queue_room(stats)
  local words = redis.call('HMGET', stats, 'paused', 'cap', 'second')
  if words[1] then return 0 end
  if not words[2] then return math.huge, words[3] end
  local counted = redis.call(
    'HMGET', stats, 'claimed',
    'acked', 'retried', 'dead', 'released', 'reclaimed', 'snoozed', 'cancelled', 'expired'
  )
  local in_flight = tonumber(counted[1] or 0)
  for index = 2, #counted do in_flight = in_flight - tonumber(counted[index] or 0) end
  return math.max(0, tonumber(words[2]) - in_flight), words[3]
end
