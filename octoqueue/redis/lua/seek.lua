-- Purpose    Look for a message among some of those in a list or zset, from its end on.
-- KEYS       [1] the list or zset
-- ARGV       [1] id   [2] 0 list, 1 zset   [3] where the payload begins in a member (from 1)
--            [4] how many at the end were looked at   [5] how many to look at
-- Returns    how many there were; and when it is among them the member, how many stand before it,
--            its score
-- Bound      [5] members
--#include header

local id, is_list, from = ARGV[1], ARGV[2] == '0', tonumber(ARGV[3])
local last = -1 - tonumber(ARGV[4])
local first = last - tonumber(ARGV[5]) + 1
local members = is_list and redis.call('LRANGE', KEYS[1], first, last)
  or redis.call('ZRANGE', KEYS[1], first, last)
for index, member in ipairs(members) do
  local payload = member:sub(from)
  if header_is_good(payload) and id_of(payload) == id then
    local size = is_list and redis.call('LLEN', KEYS[1]) or redis.call('ZCARD', KEYS[1])
    local score = is_list and '' or redis.call('ZSCORE', KEYS[1], member)
    return { #members, member, size + last - (#members - index), score }
  end
end
return { #members }
