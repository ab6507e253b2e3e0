-- Append events to a stream, tell who follows it, and leave out what the same sender has stored.
-- Ids are life-number: when the stream began, and 1, 2, 3, … in it.
local function append_events(stream, channel, keeping, now, told)
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  local life, number, stored = string.format('%.0f', now), 0, 0
  if last then
    local fields = last[2]
    local began, at = last[1]:match('^(%d+)-(%d+)$')
    life, number = began, tonumber(at)
    if fields[2] == told.sender then stored = tonumber(fields[4]) end
  end
  local fresh, first = {}, number + 1
  for index, event in ipairs(told.events) do
    local own = told.first + index - 1
    if own > stored then
      number = number + 1
      fresh[#fresh + 1] = event
      redis.call('XADD', stream, 'MAXLEN', keeping.bound, life .. '-' .. number, 's', told.sender, 'o', own, 'e', event)
    end
  end
  if #fresh == 0 then return end
  redis.call('PEXPIRE', stream, keeping.ttl)
  redis.call('PUBLISH', channel, life .. '-' .. first .. '\n' .. table.concat(fresh, '\n'))
end
