-- Counting messages that are put into a lane (from 0). Needs tally.

-- Note how many had arrived when a second began.
local function note_arrivals(tallies, lane, second, before)
  local packed = struct.pack('>I4', second)
  local at = ARRIVALS_AT + (lane * TALLY_SECONDS + second % TALLY_SECONDS) * 8
  begin_slot(tallies, at, packed .. struct.pack('>I4', before % TALLY_MOST))
  begin_slot(tallies, 4 * lane, packed)
end

local function count_arrivals(stats, tallies, lane, now, count)
  local arrived, second = redis.call('HINCRBY', stats, 'arrived:' .. lane, count), math.floor(now / 1000)
  if redis.call('GETRANGE', tallies, 4 * lane, 4 * lane + 3) ~= struct.pack('>I4', second) then
    note_arrivals(tallies, lane, second, arrived - count)
  end
end
