-- Count messages that were put into a lane (from 0). Needs tally.
local function count_arrivals(tallies, lane, now, count)
  local second = math.floor(now / 1000)
  local at = (lane * TALLY_SECONDS + second % TALLY_SECONDS) * ARRIVAL_BYTES
  tally(tallies, at, ARRIVAL_BYTES, second, { 'u32', 32, count })
end
