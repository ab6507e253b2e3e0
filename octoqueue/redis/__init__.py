"""Everything that speaks Redis. Nothing above this package imports redis-py.

The key map (`oq` is the namespace, `3` a partition, `coder` a queue, `high` a lane):

    {oq:3}:coder:high            list   waiting messages, the payload in the list
    {oq:3}:coder:leased:SESSION  hash   token -> payload, what one worker session holds
    {oq:3}:coder:delayed         zset   payload by the moment it is due
    {oq:3}:coder:dead            zset   id by the moment it died
    {oq:3}:coder:dead:messages   hash   id -> length, payload, reason
    {oq:3}:coder:stats           hash   counters and wait-time buckets
    {oq:3}:coder:tallies         string what happened by the second, see `lua/includes/tally.lua`
    {oq:3}:coder:gated:high      zset   flow, ready_at, payload: messages with gates, in lines
    {oq:3}:coder:ring:high       zset   flow by its virtual finish tag: who has his turn
    {oq:3}:coder:tags:high       zset   tenant by the tag served last, and the last of all
    {oq:3}:coder:waiting         zset   gate, lane, tag, flow: who waits for a closed gate
    {oq:3}:coder:parked          zset   rate limit by the moment it opens for the first who waits
    {oq:3}:coder:held            hash   cap -> leases that count
    {oq:3}:gates                 hash   definitions, see `calls/gates.py`
    {oq:3}:tats                  zset   rate limit and key by its theoretical arrival time in ms
    {oq:3}:shifts                hash   rate limit and key -> ms refunded, leases that reserved
    {oq:3}:reserved              hash   token -> what its lease took out of rate limits
    {oq:3}:marks                 set    lane and queue: what may have something to claim
    {oq:3}:workers               zset   worker session by the moment its lease expires
    {oq:3}:presences             hash   worker session -> when it said what of itself, JSON
    {oq:3}:once                  zset   id of a message of the outbox by when it is forgotten
    {oq:3}:unique                hash   digest of a unique key -> id that holds it, when it ends
    {oq:3}:unique:expiry         zset   digest by the moment its lock ends by itself
    {oq:3}:cancelled             hash   id -> the result it gets: a tombstone
    {oq:3}:cancelled:expiry      zset   id by the moment its tombstone ends
    {oq:3}:schedules             hash   schedule -> digest of its ticks, last tick, last one fired
    {oq:3}:result:ID             string result of a message, or its claim check, with a TTL
    {oq:3}:history:ID            list   how attempts ended that were tried again, with a TTL
    {oq:3}:events:ID             stream what a message tells while it runs, with a TTL
    {oq:bell}:coder              list   the doorbell: one token at most
    {oq:meta}:queues             set    names of the queues ever used
    {oq:fleet:coder}:memory      hash   what scaling remembers of a fleet, see `calls/scaling.py`
    {oq:fleet:coder}:leads       list   how long its wishes for workers took, newest first
    {oq:fleet:coder}:decisions   list   its last decisions, newest first
    oq:done:ID                   channel a result is published on
    oq:events:ID                 channel events are published on
    oq:cancel:coder              channel the ids of running messages are published on, to stop them

A call takes the keys of all partitions (single Redis) or of one (Redis Cluster); what it counts,
and the sessions it checks, stand in the first partition of the call. Readers add partitions up.

Weakness: with `appendfsync everysec` a crash of Redis itself may lose the last second of writes.
"""
