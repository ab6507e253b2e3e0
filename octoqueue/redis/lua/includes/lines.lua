-- Going from line to line of a lane, a bounded number of them. Needs header and place.

-- Call `visit` with the flow and the first member of up to `limit` lines, from flow `start` on and
-- round, until it returns something.
local function each_line(lines, lane, start, limit, visit)
  local from, last, left = '[' .. start, '+', limit
  while left > 0 do
    local member = redis.call('ZRANGEBYLEX', lines.gated[lane], from, last, 'LIMIT', 0, 1)[1]
    if member then
      local found = visit(member:sub(1, 8), member)
      if found then return found end
      from, left = '(' .. member:sub(1, 8) .. '\255', left - 1
    elseif last == '+' and start ~= '' then
      from, last = '-', '(' .. start
    else
      return nil
    end
  end
end

-- When the oldest message at the head of these lines became ready, nil when there is none.
local function oldest_in_lines(lines, lane, start, limit)
  local oldest
  each_line(lines, lane, start, limit, function(_, member)
    local ready_at = struct.unpack('>I8', member, 9)
    if not oldest or ready_at < oldest then oldest = ready_at end
  end)
  return oldest
end
