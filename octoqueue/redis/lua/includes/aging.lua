-- Moving up a lane who became ready before `before`. Needs header, extension, place, gates, lines.

-- From the head of a list to the tail of the one above, at most `limit`. Returns how many.
local function age_list(list, above, before, limit)
  local moved = 0
  while moved < limit do
    local first = redis.call('LINDEX', list, 0)
    if not first or not header_is_good(first) or ready_at_of(first) > before then break end
    redis.call('LPOP', list)
    redis.call('RPUSH', above, first)
    moved = moved + 1
  end
  return moved
end

-- The heads of up to `limit` lines, from line `start` on and round. Returns how many.
local function age_lines(lines, lane, start, before, limit)
  local old = {}
  each_line(lines, lane, start, limit, function(_, member)
    if struct.unpack('>I8', member, 9) <= before then old[#old + 1] = member end
  end)
  for _, member in ipairs(old) do
    local payload = member:sub(17)
    local extension = gates_of(payload)
    leave_line(lines, lane, member, extension)
    wait_in_line(lines, lane - 1, payload, extension)
  end
  return #old
end
