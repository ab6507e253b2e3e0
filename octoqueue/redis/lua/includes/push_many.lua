-- Append any number of values; unpack() is bounded by Lua's C stack, so in slices.
local SLICE = 1000

local function push_many(list, values)
  for first = 1, #values, SLICE do
    redis.call('RPUSH', list, unpack(values, first, math.min(first + SLICE - 1, #values)))
  end
end
