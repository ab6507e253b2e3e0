-- Taking turns in a lane: the line with the lowest finish tag is served first. Messages of plain
-- lists take part as one line of a tenant without a name. Needs place and gates.
--
-- Finish tags are read once and written in the end: `keep_turns`. Until then `lines.known` has them,
-- a lane each, and `lines.new` those that are to be written.
local function tag_of(lines, lane, name)
  local known = lines.known[lane]
  local tag = known[name]
  if tag == nil then
    tag = tonumber(redis.call('ZSCORE', lines.tags[lane], name) or '') or false
    known[name] = tag
  end
  return tag
end

local function set_tag(lines, lane, name, tag)
  lines.known[lane][name], lines.new[lane][name] = tag, tag
end

local function begin_turns(lines) lines.known, lines.new = { {}, {}, {} }, { {}, {}, {} } end

-- Write what a lane's turns have changed.
local function keep_turns(lines, lane)
  local tags, served = lines.tags[lane], lines.new[lane].v
  local values = {}
  for name, tag in pairs(lines.new[lane]) do
    values[#values + 1] = tag
    values[#values + 1] = name
  end
  for first = 1, #values, 1000 do
    redis.call('ZADD', tags, unpack(values, first, math.min(first + 999, #values)))
  end
  if served then
    -- Tags so far behind what is served hold nobody up: no weight is below a hundredth.
    redis.call('ZREMRANGEBYSCORE', tags, '-inf', '(' .. string.format('%.17g', served - 100))
  end
  lines.known[lane], lines.new[lane] = {}, {}
end

-- Let the messages in plain lists take part.
local function join_plain(lines, lane)
  if not redis.call('ZSCORE', lines.ring[lane], PLAIN) then
    keep_turns(lines, lane)
    enter_ring(lines, lane, PLAIN, '')
  end
end

-- What was served at `tag` waits for its next turn, or leaves the ring.
local function next_turn(lines, lane, flow, tag, tenant, has_more)
  local ring = lines.ring[lane]
  local served = math.max(tag, tag_of(lines, lane, 'v') or 0)
  set_tag(lines, lane, 'v', served)
  set_tag(lines, lane, 't' .. tenant, tag)
  if has_more then
    redis.call('ZADD', ring, served + 1 / share_of(lines, tenant), flow)
  else
    redis.call('ZREM', ring, flow)
    if redis.call('EXISTS', lines.gated[lane]) == 0 then
      redis.call('DEL', lines.tags[lane], ring)
      lines.known[lane], lines.new[lane] = {}, {}
    end
  end
end

-- A tenant that was served through another of its lines waits its turn in this one too. Returns
-- whether this one has to wait. The lines of a tenant wait for one turn after the other, `n` and its
-- name is the last of them, so that a service does not send all the others on by one.
local function must_wait(lines, lane, flow, tag, tenant)
  local own = tag_of(lines, lane, 't' .. tenant)
  local turn = 1 / share_of(lines, tenant)
  local due = own and own + turn
  if not due or due <= tag then return false end
  local last = tag_of(lines, lane, 'n' .. tenant)
  if last then due = math.max(due, last + turn) end
  set_tag(lines, lane, 'n' .. tenant, due)
  redis.call('ZADD', lines.ring[lane], due, flow)
  return true
end
