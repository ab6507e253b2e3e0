-- Unique keys: a lock is digest -> id of the message that holds it, moment it ends in ms (8 bytes,
-- 0 for none). Those that end by themselves also stand in a zset by that moment.
-- A lock names its holder, and nobody else ever releases it.

-- The id of the message that holds a key, nil when it is free.
local function holder_of(locks, digest, now)
  local lock = redis.call('HGET', locks, digest)
  if not lock then return nil end
  local ends = struct.unpack('>I8', lock, 17)
  if ends > 0 and ends <= now then return nil end
  return lock:sub(1, 16)
end

-- Forget some locks whose time is over.
local function prune_locks(locks, expiries, now, limit)
  for _, digest in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', now, 'LIMIT', 0, limit)) do
    if not holder_of(locks, digest, now) then redis.call('HDEL', locks, digest) end
    redis.call('ZREM', expiries, digest)
  end
end

-- Give a free key to a message.
local function lock_key(locks, expiries, unique, id, now)
  local ends = unique[1] == FOR_A_WINDOW and now + unique[3] or 0
  prune_locks(locks, expiries, now, 5)
  redis.call('HSET', locks, unique[2], id .. struct.pack('>I8', ends))
  if ends > 0 then
    redis.call('ZADD', expiries, ends, unique[2])
  else
    redis.call('ZREM', expiries, unique[2])
  end
end

-- A message has got as far as `reached` (UNTIL_STARTED or UNTIL_DONE): release what it holds until
-- then. A window ends by itself.
local function release_key(locks, payload, reached)
  local extension = extension_of(payload)
  local unique = extension and extension.unique
  if not unique or unique[1] > reached then return end
  local lock = redis.call('HGET', locks, unique[2])
  if lock and lock:sub(1, 16) == id_of(payload) then redis.call('HDEL', locks, unique[2]) end
end
