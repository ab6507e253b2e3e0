-- Put a message among the delayed ones. Returns whether it is now the first to become due,
-- in which case somebody must be woken to learn of the earlier moment.
local function delay_until(delayed, due_ms, payload)
  redis.call('ZADD', delayed, due_ms, payload)
  local first = redis.call('ZRANGE', delayed, 0, 0)
  return first[1] == payload
end
