-- How many more messages of a queue may be leased: none while it is paused, any without a cap.
local QUEUE_ENDED = {
  'acked', 'retried', 'dead', 'released', 'reclaimed', 'snoozed', 'cancelled', 'expired',
}

local function queue_room(stats)
  local words = redis.call('HMGET', stats, 'paused', 'cap')
  if words[1] then return 0 end
  if not words[2] then return math.huge end
  local in_flight = tonumber(redis.call('HGET', stats, 'claimed') or 0)
  for _, ended in ipairs(redis.call('HMGET', stats, unpack(QUEUE_ENDED))) do
    in_flight = in_flight - tonumber(ended or 0)
  end
  return math.max(0, tonumber(words[2]) - in_flight)
end
