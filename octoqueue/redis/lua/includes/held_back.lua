-- How many messages in lines no worker could start, now or until a later moment. Reads only.
-- Needs header, extension, place, lines and gates.

local MOST_LINES = 200

-- The clock of limits, as `limits_now` has it, but nothing is written when the server's was set back.
local function clock_of_limits(lines, now)
  local known = redis.call('HGET', lines.gates, CLOCK)
  if not known then return now end
  local last, ahead = struct.unpack('>dd', known)
  if now < last - STEP_MS then ahead = ahead + last - now end
  return now + ahead
end

-- How many of the first messages of a line could start, as many as it has at most. `granted` has
-- what was granted to others before: slots by cap, units by limit.
local function startable_of(lines, extension, count, now, soon_ms, granted)
  for _, gate in ipairs(cap_gates(extension)) do
    local slots = slots_of(lines, gate)
    if slots then
      local held = tonumber(redis.call('HGET', lines.held, gate) or 0)
      count = math.min(count, math.max(slots - held - (granted[gate] or 0), 0))
    end
  end
  for _, use in ipairs(extension.limits) do
    local unit_ms, burst = rate_of(lines, use[2])
    if unit_ms then
      local key = limit_key(use)
      local arrival = tonumber(redis.call('ZSCORE', lines.tats, key) or 0)
      local units = (now + soon_ms - math.max(now, arrival)) / unit_ms + math.max(burst, use[1])
      local left = units - (granted['l' .. key] or 0)
      count = math.min(count, math.max(math.floor(left / use[1]), 0))
    end
  end
  for _, gate in ipairs(cap_gates(extension)) do granted[gate] = (granted[gate] or 0) + count end
  for _, use in ipairs(extension.limits) do
    local gate = 'l' .. limit_key(use)
    granted[gate] = (granted[gate] or 0) + count * use[1]
  end
  return count
end

-- What the gates of the first lines of a lane hold back, what stands in others counts as free; and
-- when the oldest message at the head of one became ready, nil when there is none.
local function look_at_lines(lines, lane, now, soon_ms, granted)
  local held, oldest = 0, nil
  each_line(lines, lane, '', MOST_LINES, function(flow, member)
    local ready_at = struct.unpack('>I8', member, 9)
    if not oldest or ready_at < oldest then oldest = ready_at end
    local extension = gates_of(member:sub(17))
    if extension then
      local count = redis.call('ZLEXCOUNT', lines.gated[lane], '[' .. flow, '(' .. flow .. '\255')
      held = held + count - startable_of(lines, extension, count, now, soon_ms, granted)
    end
  end)
  return held, oldest
end
