-- Ring a queue's doorbell: one token at most, so an unheard bell costs one list of one element.
local function ring(bell)
  if bell and redis.call('LLEN', bell) == 0 then redis.call('RPUSH', bell, '1') end
end
