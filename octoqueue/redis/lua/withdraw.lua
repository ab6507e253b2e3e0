-- Purpose    Take a cancelled message out of the place where it waits, with all that belongs to its
--            end: result, events, unique key, history, counter.
-- Guarantee  All or nothing; nothing when it is not there any more, or not cancelled any more.
--            Whom it held up at a gate hears the bell.
-- KEYS       [1] stats hash   [2] tombstones   [3] when they end   [4] locks of unique keys
--            [5] its list, or delayed zset   [6] its result   [7] its events
--            [8] history of its attempts   [9] doorbell, when the call has it,
--            then the queue's 12 line keys and the 4 that lines share
-- ARGV       [1] now in ms, or 0   [2] 0 list, 1 zset, 2 to 4 line of a lane
--            [3] the member it is there   [4] its payload   [5] channel of its result, or empty
--            [6] channel of its events, or empty   [7] events kept   [8] for how many ms
--            [9] sender of the last event   [10] the last event
-- Returns    1 when it was taken out, else 0
--#include now
--#include header
--#include doorbell
--#include extension
--#include unique
--#include cancelled
--#include place
--#include gates
--#include append_events

local now, kind, member, payload = now_ms(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local id, lane = id_of(payload), kind - 1
local lines = lines_at(KEYS, #KEYS - 15, #KEYS - 3)
local ttl, result = cancelled_result(KEYS[2], id)
if not ttl then return 0 end

if kind == 0 then
  if redis.call('LREM', KEYS[5], 1, member) == 0 then return 0 end
elseif kind == 1 then
  if redis.call('ZREM', KEYS[5], member) == 0 then return 0 end
else
  if not redis.call('ZSCORE', lines.gated[lane], member) then return 0 end
  leave_line(lines, lane, member, gates_of(payload))
  if #KEYS == 25 then ring(KEYS[9]) end
end
has_ended(KEYS[2], KEYS[3], id, now)
redis.call('HINCRBY', KEYS[1], 'withdrawn', 1)
redis.call('DEL', KEYS[8])
if is_extended(payload) then release_key(KEYS[4], payload, UNTIL_DONE) end
if ARGV[5] ~= '' then
  if ttl >= 1 then redis.call('SET', KEYS[6], result, 'PX', string.format('%.0f', ttl)) end
  redis.call('PUBLISH', ARGV[5], result)
end
if ARGV[6] ~= '' then
  local told = { sender = ARGV[9], first = 1, events = { ARGV[10] } }
  append_events(KEYS[7], ARGV[6], { bound = ARGV[7], ttl = ARGV[8] }, now, told)
end
return 1
