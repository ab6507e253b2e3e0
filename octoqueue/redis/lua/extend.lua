-- Purpose    Register a worker session, or renew it with all the leases it holds; remember what it
--            says of itself.
-- KEYS       [1] workers zset   [2] presences hash
-- ARGV       [1] now in ms, or 0   [2] session   [3] lease in ms
--            [4] what it says of itself, empty when it says nothing
-- Returns    1 when the session was registered and alive, 0 when it is new or had expired
--#include now

local now = now_ms(ARGV[1])
local expires_at = redis.call('ZSCORE', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[2])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[2], ARGV[2], struct.pack('>I8', now) .. ARGV[4]) end
if expires_at and tonumber(expires_at) > now then return 1 end
return 0
