-- Purpose    Write the definitions of gates. What waits for a gate tries again when one has changed.
-- Guarantee  Shares of tenants and caps of queues are replaced as a whole; of other caps and limits
--            those that are given, because not every worker knows all of them.
-- KEYS       [1] the 4 keys that lines share, then for each queue:
--            [2] stats hash, [3] doorbell when the call has them, [4] its 12 line keys
-- ARGV       [1] queues   [2] has doorbells (0/1)   [3] whether it goes on with what it left (0/1)
--            [4] for each queue its cap, 0 for none
--            [5] number of definitions, then for each: field, value
-- Returns    2 when there is more to do, which the same call with [3] does; 1 when somebody may go on
--            now, else 0
-- Bound      250 lines that wait
--#include header
--#include extension
--#include doorbell
--#include place
--#include gates

local gates, queues, bells = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local first, width, left = 4 + queues, 13 + bells, 250
local changed, given = ARGV[3] == '1', {}

for at = first + 1, first + 2 * tonumber(ARGV[first]), 2 do given[ARGV[at]] = ARGV[at + 1] end
local known = redis.call('HGETALL', gates)
for at = 1, #known, 2 do
  local field = known[at]
  if given[field] == known[at + 1] then
    given[field] = nil
  elseif field:sub(1, 1) == UNSHARED and not given[field] then
    redis.call('HDEL', gates, field)
    changed = true
  end
end
for field, value in pairs(given) do
  redis.call('HSET', gates, field, value)
  changed = true
end

local goes_on = changed
for queue = 0, queues - 1 do
  local at, cap = 5 + queue * width, ARGV[4 + queue]
  local had, opened = redis.call('HGET', KEYS[at], 'cap') or '0', cap
  if cap == '0' then redis.call('HDEL', KEYS[at], 'cap') else redis.call('HSET', KEYS[at], 'cap', cap) end
  local lines = lines_at(KEYS, at + 1 + bells, 1)
  if changed then
    local members = redis.call('ZRANGE', lines.waiting, 0, left - 1)
    for _, member in ipairs(left > 0 and members or {}) do let_go(lines, member) end
    left = math.max(0, left - #members)
    if redis.call('EXISTS', lines.waiting) == 0 then redis.call('DEL', lines.parked) end
  end
  goes_on = goes_on or had ~= opened
  if bells == 1 and (changed or had ~= opened) then ring(KEYS[at + 1]) end
end
if changed and left == 0 then return 2 end
return goes_on and 1 or 0
