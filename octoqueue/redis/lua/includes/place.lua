-- Where a message waits when it is ready: in its lane's list, or, when it has gates to pass (tenant,
-- caps, limits), in the line of its flow. Needs header and extension.
--
-- The keys of a queue's lines stand together, 12 of them from `at`, a lane each for the first nine:
--   ring (flow -> virtual finish tag), gated (flow, ready_at, payload), tags (finish tag last served),
--   waiting (flows at a closed gate), parked (limit -> ms when it opens), held (cap -> leases);
-- and what all queues of a call share, 4 from `shared`:
--   gates (definitions), tats (limit -> arrival time), shifts (limit -> refunds), reserved (by token).
-- A flow that has messages is in the ring or in `waiting`, never both.
local UNSHARED = 't'

local function lines_at(keys, at, shared)
  return {
    ring = { keys[at], keys[at + 1], keys[at + 2] },
    gated = { keys[at + 3], keys[at + 4], keys[at + 5] },
    tags = { keys[at + 6], keys[at + 7], keys[at + 8] },
    waiting = keys[at + 9], parked = keys[at + 10], held = keys[at + 11],
    gates = keys[shared], tats = keys[shared + 1], shifts = keys[shared + 2], reserved = keys[shared + 3],
    shares = {}, slots = {}, rates = {}, taken = {},
  }
end

-- The weight of a tenant and its concurrency (0 for none); who is not named has the default.
local function share_of(lines, tenant)
  if tenant == '' then return 1, 0 end
  local share = lines.shares[tenant]
  if not share then
    local found = redis.call('HMGET', lines.gates, 't' .. tenant, UNSHARED)
    local text = found[1] or found[2] or '1 0'
    local weight, concurrency = string.match(text, '(%S+) (%S+)')
    share = { tonumber(weight), tonumber(concurrency) }
    lines.shares[tenant] = share
  end
  return share[1], share[2]
end

-- A flow gets its tag: one unit of its tenant's after what was served last, to it or to anybody.
local function enter_ring(lines, lane, flow, tenant)
  local tags = lines.tags[lane]
  local last = math.max(
    tonumber(redis.call('ZSCORE', tags, 'v') or 0), tonumber(redis.call('ZSCORE', tags, 't' .. tenant) or 0)
  )
  redis.call('ZADD', lines.ring[lane], last + 1 / share_of(lines, tenant), flow)
end

-- The first message of a flow, as it stands in the line; nil when it has none.
local function head_of_line(lines, lane, flow)
  return redis.call('ZRANGEBYLEX', lines.gated[lane], '[' .. flow, '(' .. flow .. '\255', 'LIMIT', 0, 1)[1]
end

-- The same, and whether somebody stands behind it.
local function head_and_next(lines, lane, flow)
  local found = redis.call(
    'ZRANGEBYLEX', lines.gated[lane], '[' .. flow, '(' .. flow .. '\255', 'LIMIT', 0, 2
  )
  return found[1], found[2] ~= nil
end

local function wait_in_line(lines, lane, payload, extension)
  local is_new = not head_of_line(lines, lane, extension.flow)
  redis.call('ZADD', lines.gated[lane], 0, extension.flow .. payload:sub(9, 16) .. payload)
  if is_new then enter_ring(lines, lane, extension.flow, extension.tenant) end
end

-- Whether an extension says that there is something to pass before its message may run.
local function is_gated(extension)
  return extension and extension.flow and #extension.flow == 8
end

-- What a message must pass before it may run, nil when nothing or when it cannot be read.
local function gates_of(payload)
  if not (header_is_good(payload) and is_extended(payload)) then return nil end
  local extension = extension_of(payload)
  return is_gated(extension) and extension or nil
end

-- Put a message where it waits. In a line it stands by its age; head or tail is for lists.
local function place(lines, list, payload, at_head)
  local extension = gates_of(payload)
  if extension then
    wait_in_line(lines, lane_of(payload), payload, extension)
  elseif at_head then
    redis.call('LPUSH', list, payload)
  else
    redis.call('RPUSH', list, payload)
  end
end
