-- Taking turns in a lane: the line with the lowest finish tag is served first. Messages of plain
-- lists take part as one line of a tenant without a name. Needs place and gates.

-- Let the messages in plain lists take part.
local function join_plain(lines, lane)
  if not redis.call('ZSCORE', lines.ring[lane], PLAIN) then enter_ring(lines, lane, PLAIN, '') end
end

-- What was served at `tag` waits for its next turn, or leaves the ring.
local function next_turn(lines, lane, flow, tag, tenant, has_more)
  local tags, ring = lines.tags[lane], lines.ring[lane]
  local before = lines.served[lane] or tonumber(redis.call('ZSCORE', tags, 'v') or 0)
  local served = math.max(tag, before)
  redis.call('ZADD', tags, served, 'v', tag, 't' .. tenant)
  if not lines.served[lane] then
    -- Tags so far behind what is served hold nobody up: no weight is below a hundredth.
    redis.call('ZREMRANGEBYSCORE', tags, '-inf', '(' .. string.format('%.17g', served - 100))
  end
  lines.served[lane] = served
  if has_more then
    redis.call('ZADD', ring, served + 1 / share_of(lines, tenant), flow)
  else
    redis.call('ZREM', ring, flow)
    if redis.call('EXISTS', lines.gated[lane]) == 0 then
      redis.call('DEL', tags, ring)
      lines.served[lane] = nil
    end
  end
end

-- A tenant that was served through another of its lines waits its turn in this one too. Returns
-- whether this one has to wait. The lines of a tenant wait for one turn after the other, `n` and its
-- name is the last of them, so that a service does not send all the others on by one.
local function must_wait(lines, lane, flow, tag, tenant)
  local tags = lines.tags[lane]
  local own = tonumber(redis.call('ZSCORE', tags, 't' .. tenant) or '')
  local turn = 1 / share_of(lines, tenant)
  local due = own and own + turn
  if not due or due <= tag then return false end
  local last = tonumber(redis.call('ZSCORE', tags, 'n' .. tenant) or '')
  if last then due = math.max(due, last + turn) end
  redis.call('ZADD', tags, due, 'n' .. tenant)
  redis.call('ZADD', lines.ring[lane], due, flow)
  return true
end
