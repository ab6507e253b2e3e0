-- No number stops the script half-way: what is later than a double can tell, or no number, is then.
local LATEST_MS = 2 ^ 53 - 1

-- Put a message among the delayed ones. Returns whether it is now the first to become due,
-- in which case somebody must be woken to learn of the earlier moment.
local function delay_until(delayed, due_ms, payload)
  if not (due_ms <= LATEST_MS) then due_ms = LATEST_MS end
  redis.call('ZADD', delayed, due_ms, payload)
  local first = redis.call('ZRANGE', delayed, 0, 0)
  return first[1] == payload
end
