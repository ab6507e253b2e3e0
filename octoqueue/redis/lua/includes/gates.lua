-- Passing the gates, and giving back what was taken; the arithmetic of primitives/gates.py.
-- Needs header, extension and place.
--
-- A flow at a closed gate waits under the name of that gate, by lane and tag. Whenever a flow
-- leaves the ring, is served or gets a later tag, and whenever a lease ends, the first that waits
-- for each of its gates that may be open goes back to the ring. So no gate is open with somebody
-- waiting for it and nobody in the ring who will notice.
local PLAIN = string.rep('\0', 8)
local LIMIT_MARK = ('l'):byte()

local function cap_gates(extension)
  local found = extension.cap_gates
  if not found then
    found = {}
    if extension.tenant ~= '' then found[1] = 't' .. extension.tenant end
    for _, cap in ipairs(extension.caps) do found[#found + 1] = 'c' .. cap end
    extension.cap_gates = found
  end
  return found
end

local function limit_key(use) return use[2] .. '\0' .. use[3] end

-- Slots of a cap, nil when it has none.
local function slots_of(lines, gate)
  local slots = lines.slots[gate]
  if slots == nil then
    if gate:byte() == UNSHARED:byte() then
      local _, concurrency = share_of(lines, gate:sub(2))
      slots = concurrency > 0 and concurrency
    else
      slots = tonumber(redis.call('HGET', lines.gates, gate) or '') or false
    end
    lines.slots[gate] = slots
  end
  return slots or nil
end

-- Virtual ms of a unit and burst of a limit, nil when it is not defined.
local function rate_of(lines, name)
  local rate = lines.rates[name]
  if not rate then
    local unit_ms, burst = string.match(redis.call('HGET', lines.gates, 'l' .. name) or '', '(%S+) (%S+)')
    rate = { tonumber(unit_ms or ''), tonumber(burst or '') }
    lines.rates[name] = rate
  end
  return rate[1], rate[2]
end

-- Limits have a clock of their own, which is never set back: by how much the server's is (it was
-- wrong, or another server has taken over), this one is ahead from then on. Else what was taken
-- before the step would keep a limit closed for as long. It stands among the definitions.
local CLOCK, STEP_MS = 'now', 1000

local function keep_clock(lines, now, ahead)
  redis.call('HSET', lines.gates, CLOCK, struct.pack('>dd', now, ahead))
end

local function limits_now(lines, now)
  if not lines.limits_now then
    local known, last, ahead = redis.call('HGET', lines.gates, CLOCK), now, 0
    if known then last, ahead = struct.unpack('>dd', known) end
    if now < last - STEP_MS then
      ahead = ahead + last - now
      keep_clock(lines, now, ahead)
    end
    lines.limits_now = now + ahead
  end
  return lines.limits_now
end

local function has_room(lines, gate)
  if gate:byte() == LIMIT_MARK then return not redis.call('ZSCORE', lines.parked, gate) end
  local slots = slots_of(lines, gate)
  return not slots or tonumber(redis.call('HGET', lines.held, gate) or 0) + (lines.taken[gate] or 0) < slots
end

-- ── who waits at a gate ──────────────────────────────────────────────────────────────────────────

local function under(gate) return string.char(#gate) .. gate end

-- Positive doubles packed big-endian sort as their bytes do.
local function waiting_as(gate, lane, tag, flow)
  return under(gate) .. string.char(lane) .. struct.pack('>d', tag) .. flow
end

-- Whether anybody waits in these lines at all, asked once; `wait_at` knows when somebody comes.
local function anybody_waits(lines)
  if lines.somebody == nil then lines.somebody = redis.call('EXISTS', lines.waiting) == 1 end
  return lines.somebody
end

local function first_at(lines, gate)
  if not anybody_waits(lines) then return nil end
  local name = under(gate)
  return redis.call('ZRANGEBYLEX', lines.waiting, '[' .. name, '(' .. name .. '\255', 'LIMIT', 0, 1)[1]
end

-- Let a flow that waits go back to the ring. Returns whether it still has a message.
local function let_go(lines, member)
  local at = 2 + member:byte(1)
  local lane, tag, flow = member:byte(at), struct.unpack('>d', member, at + 1), member:sub(at + 9)
  redis.call('ZREM', lines.waiting, member)
  if not head_of_line(lines, lane, flow) then return false end
  redis.call('ZADD', lines.ring[lane], tag, flow)
  lines.woken = math.min(lines.woken or lane, lane)
  return true
end

-- Let the first that waits for a gate try again. Returns whether somebody does.
local function wake(lines, gate)
  if gate:byte() == LIMIT_MARK then redis.call('ZREM', lines.parked, gate) end
  local first = first_at(lines, gate)
  while first do
    if let_go(lines, first) then return true end
    first = first_at(lines, gate)
  end
  return false
end

local function wake_beside(lines, extension)
  if not anybody_waits(lines) then return end
  for _, gate in ipairs(cap_gates(extension)) do
    if has_room(lines, gate) then wake(lines, gate) end
  end
  for _, use in ipairs(extension.limits) do
    local gate = 'l' .. limit_key(use)
    if has_room(lines, gate) then wake(lines, gate) end
  end
end

-- Take a message out of its line, without running it: what it held up may go on.
local function leave_line(lines, lane, member, extension)
  local flow = member:sub(1, 8)
  local was_first = head_of_line(lines, lane, flow) == member
  if redis.call('ZREM', lines.gated[lane], member) == 0 or not was_first then return end
  if not head_of_line(lines, lane, flow) then redis.call('ZREM', lines.ring[lane], flow) end
  if redis.call('EXISTS', lines.gated[lane]) == 0 then
    redis.call('DEL', lines.tags[lane], lines.ring[lane])
  end
  for _, use in ipairs(extension.limits) do wake(lines, 'l' .. limit_key(use)) end
  wake_beside(lines, extension)
end

-- Whoever waits for a limit that opens by now tries again. Returns how many limits there were.
local function wake_due(lines, now, limit)
  now = limits_now(lines, now)
  local due = redis.call('ZRANGEBYSCORE', lines.parked, '-inf', now, 'LIMIT', 0, limit)
  for _, gate in ipairs(due) do wake(lines, gate) end
  return #due
end

-- ── taking ───────────────────────────────────────────────────────────────────────────────────────

-- What a claim takes is written in the end, each gate once: `settle_taken`. Until then these know:
-- arrival time and refunds of a limit by its key, reservations by token, in turn. (What is taken
-- from caps is in `lines.taken`.)
local arrivals, refunds, reservations = {}, {}, {}

local function arrival_of(lines, key)
  local arrival = arrivals[key]
  if not arrival then
    arrival = tonumber(redis.call('ZSCORE', lines.tats, key) or 0)
    arrivals[key] = arrival
  end
  return arrival
end

-- The gate that keeps a flow from running now, and for a limit the moment when it opens, if known.
local function closed_gate(lines, lane, tag, flow, extension, now)
  for _, gate in ipairs(cap_gates(extension)) do
    if not has_room(lines, gate) then return gate end
  end
  local closed, opens
  if #extension.limits > 0 then now = limits_now(lines, now) end
  for _, use in ipairs(extension.limits) do
    local unit_ms, burst = rate_of(lines, use[2])
    if unit_ms then
      local key = limit_key(use)
      local gate, units = 'l' .. key, use[1]
      local moment = arrival_of(lines, key) - (math.max(burst, units) - units) * unit_ms
      if moment > now then
        if not opens or moment > opens then closed, opens = gate, moment end
      elseif not closed and anybody_waits(lines) then
        -- It would fit, but nobody overtakes who came before and waits until more has come together.
        local parked = tonumber(redis.call('ZSCORE', lines.parked, gate) or 0)
        local first = parked > now and first_at(lines, gate)
        if first and first < waiting_as(gate, lane, tag, flow) then closed = gate end
      end
    end
  end
  return closed, opens
end

local function wait_at(lines, lane, tag, flow, gate, opens)
  redis.call('ZREM', lines.ring[lane], flow)
  local member = waiting_as(gate, lane, tag, flow)
  redis.call('ZADD', lines.waiting, 0, member)
  lines.somebody = true
  if opens and (first_at(lines, gate) == member or not redis.call('ZSCORE', lines.parked, gate)) then
    redis.call('ZADD', lines.parked, math.ceil(opens), gate)
  end
end

-- Forget a few arrival times that have passed. Those that are left until later say nothing new.
local MOST_PRUNED = 100

local function prune_arrivals(lines, now)
  now = limits_now(lines, now)
  local passed = math.min(redis.call('ZCOUNT', lines.tats, '-inf', now), MOST_PRUNED)
  if passed > 0 then redis.call('ZREMRANGEBYRANK', lines.tats, 0, passed - 1) end
end

-- Take what a message needs from its gates, in the name of its lease.
local function take_through(lines, extension, token, now)
  local taken = lines.taken
  for _, gate in ipairs(cap_gates(extension)) do taken[gate] = (taken[gate] or 0) + 1 end
  if #extension.limits == 0 then return end
  local reserved = {}
  now = limits_now(lines, now)
  for _, use in ipairs(extension.limits) do
    local unit_ms = rate_of(lines, use[2])
    if unit_ms then
      local key, units = limit_key(use), use[1]
      local begins, refund = math.max(now, arrival_of(lines, key)), refunds[key]
      arrivals[key] = begins + units * unit_ms
      if not refund then
        local known = redis.call('HGET', lines.shifts, key)
        refund = known and { struct.unpack('>dI4', known) } or { 0, 0 }
        refunds[key] = refund
      end
      refund[2] = refund[2] + 1
      reserved[#reserved + 1] = struct.pack('>I4dddI2', units, begins, refund[1], unit_ms, #key) .. key
    end
  end
  if #reserved > 0 then
    reservations[#reservations + 1] = token
    reservations[#reservations + 1] = table.concat(reserved)
  end
end

-- Redis searches a small hash from its front to its end, up to 512 fields of it. One long value
-- makes it a table for good; so it is made one before it has many.
local FEW, LONG = 32, string.rep('-', 65)

local function write_many(hash, count, write)
  local is_table = redis.call('HLEN', hash) + count > FEW
  if is_table then redis.call('HSET', hash, '', LONG) end
  write()
  if is_table then redis.call('HDEL', hash, '') end
end

local function size_of(counts)
  local size = 0
  for _ in pairs(counts) do size = size + 1 end
  return size
end

-- Write what was taken.
local function settle_taken(lines, now)
  local taken = lines.taken
  lines.taken = {}
  if next(taken) then
    write_many(lines.held, size_of(taken), function()
      for gate, count in pairs(taken) do redis.call('HINCRBY', lines.held, gate, count) end
    end)
  end
  if #reservations == 0 then return end
  prune_arrivals(lines, now)
  keep_clock(lines, now, limits_now(lines, now) - now)
  write_many(lines.shifts, size_of(refunds), function()
    for key, refund in pairs(refunds) do
      redis.call('ZADD', lines.tats, arrivals[key], key)
      redis.call('HSET', lines.shifts, key, struct.pack('>dI4', refund[1], refund[2]))
    end
  end)
  write_many(lines.reserved, #reservations / 2, function()
    for first = 1, #reservations, 1000 do
      redis.call('HSET', lines.reserved, unpack(reservations, first, math.min(first + 999, #reservations)))
    end
  end)
  arrivals, refunds, reservations = {}, {}, {}
end

-- ── giving back ──────────────────────────────────────────────────────────────────────────────────

-- Settle one reservation to the units that were used. Returns whether the limit opens earlier now.
local function settle(lines, key, units, begins, old_shift, unit_ms, used, now)
  local shift, open = 0, 1
  local known = redis.call('HGET', lines.shifts, key)
  if known then shift, open = struct.unpack('>dI4', known) end
  local arrival = tonumber(redis.call('ZSCORE', lines.tats, key) or 0)
  local back = (units - used) * unit_ms
  if back > 0 then
    local passed = now - (begins - (shift - old_shift) + used * unit_ms)
    back = math.max(0, back - math.max(0, passed))
  elseif back < 0 then
    arrival = math.max(arrival, now)
  end
  if back ~= 0 then
    arrival = arrival - back
    if arrival > now then
      redis.call('ZADD', lines.tats, arrival, key)
    else
      redis.call('ZREM', lines.tats, key)
    end
  end
  if open > 1 then
    redis.call('HSET', lines.shifts, key, struct.pack('>dI4', shift + math.max(0, back), open - 1))
  else
    redis.call('HDEL', lines.shifts, key)
  end
  return back > 0
end

-- The lease of a message has ended: give back its place under the caps and settle what it reserved,
-- `used[limit key]` units, or all of them, or none. Returns whether somebody may go on.
local function give_back(lines, extension, token, used, keeps_all, now)
  local woken = false
  for _, gate in ipairs(cap_gates(extension)) do
    if redis.call('HINCRBY', lines.held, gate, -1) <= 0 then redis.call('HDEL', lines.held, gate) end
    if anybody_waits(lines) and has_room(lines, gate) then woken = wake(lines, gate) or woken end
  end
  local reserved = #extension.limits > 0 and redis.call('HGET', lines.reserved, token)
  if not reserved then return woken end
  redis.call('HDEL', lines.reserved, token)
  now = limits_now(lines, now)
  local at = 1
  while at <= #reserved do
    local units, begins, shift, unit_ms, size, next_at = struct.unpack('>I4dddI2', reserved, at)
    local key = reserved:sub(next_at, next_at + size - 1)
    at = next_at + size
    local needed = used[key] or (keeps_all and units or 0)
    if settle(lines, key, units, begins, shift, unit_ms, needed, now) then
      woken = wake(lines, 'l' .. key) or woken
    end
  end
  return woken
end
