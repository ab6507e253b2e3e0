-- Upper bounds in ms of the wait-time histogram; equal to primitives/histogram.py.
local WAIT_BOUNDS_MS = {
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000, 300000,
}

local function wait_bucket(wait_ms)
  for index = 1, #WAIT_BOUNDS_MS do
    if wait_ms <= WAIT_BOUNDS_MS[index] then return index - 1 end
  end
  return #WAIT_BOUNDS_MS
end
