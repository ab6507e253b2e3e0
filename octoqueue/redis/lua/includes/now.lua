-- Milliseconds since the epoch: the server's clock, or the caller's when it passes one ('0' = none).
local function now_ms(given)
  if given ~= '0' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
