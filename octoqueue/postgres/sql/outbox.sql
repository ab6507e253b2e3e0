-- Messages on their way from a transaction to the store. Owner: octoqueue.postgres.outbox, and for
-- add_messages octoqueue.producer.outbox.

-- name: add_messages
-- Runs in the caller's transaction; relays hear of it when that commits.
-- $1 uuid[]: their ids
-- $2 text[]: their actors
-- $3 text[]: their queues
-- $4 text[]: their lanes
-- $5 bytea[]: their envelopes
-- $6 int8[]: how long each is to wait, in ms
-- $7 int8: for how long the relays leave them to the caller, in ms
-- returns nothing of use
with added as (
  insert into outbox (id, actor, queue, lane, envelope, eta, due_at)
  select
    a.id, a.actor, a.queue, a.lane, a.envelope,
    case when a.delay_ms > 0 then clock_timestamp() + a.delay_ms * interval '1 ms' end,
    clock_timestamp() + $7::int8 * interval '1 ms'
  from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::int8[])
    as a (id, actor, queue, lane, envelope, delay_ms)
)
select pg_notify('octoqueue_outbox', '') where $7::int8 = 0;

-- name: claim_messages
-- Takes rows that are due, until the end of the transaction; relays never get the same row. Lines
-- are found by hopping through their index, high lanes come first, low ones last. Due is what now()
-- says: with clock_timestamp(), which is volatile, no index would be used for it.
-- $1 int4: how many at most
-- $2 int4: how many of one line at most
-- $3 text[]: lines to leave alone
-- returns for each what is to be enqueued, and how long it is still to wait, in ms
with recursive found as (
  (select line from outbox where failed_at is null order by line limit 1)
  union all
  select (
    select line from outbox
    where failed_at is null and line > found.line
    order by line limit 1
  )
  from found where found.line is not null
), lines as (
  select line from found
  where line is not null and line <> all($3::text[])
  order by line not like '%:high', line like '%:low', random()
)
select
  claimed.id, claimed.actor, claimed.queue, claimed.lane, claimed.line, claimed.envelope,
  claimed.call, claimed.delay_ms, claimed.created_ms, claimed.attempts
from lines cross join lateral (
  select
    id, actor, queue, lane, line, envelope, call, attempts,
    (extract(epoch from created_at) * 1000)::int8 as created_ms,
    greatest(0, ceil(extract(epoch from eta - clock_timestamp()) * 1000))::int8 as delay_ms
  from outbox
  where outbox.line = lines.line and failed_at is null and due_at <= now()
  order by due_at, id
  limit $2
  for update skip locked
) as claimed
limit $1;

-- name: delete_messages
-- $1 uuid[]: which
-- returns the ids of those that were there
delete from outbox where id = any($1::uuid[]) returning id;

-- name: fail_messages
-- $1 uuid[]: which
-- $2 text[]: why each of them can never be enqueued
-- returns nothing
update outbox
set failed_at = clock_timestamp(), attempts = attempts + 1, last_error = f.reason
from unnest($1::uuid[], $2::text[]) as f (id, reason)
where outbox.id = f.id;

-- name: put_off_messages
-- $1 uuid[]: which
-- $2 text[]: why each of them
-- $3 interval: for how long
-- returns nothing
update outbox
set due_at = clock_timestamp() + $3::interval, attempts = attempts + 1, last_error = p.reason
from unnest($1::uuid[], $2::text[]) as p (id, reason)
where outbox.id = p.id;

-- name: measure_outbox
-- returns how many rows wait and for how long the oldest has, in seconds, and how many have failed
select
  (select count(*) from outbox where failed_at is null) as pending,
  (select count(*) from outbox where failed_at is not null) as failed,
  coalesce((
    select extract(epoch from clock_timestamp() - min(created_at))
    from outbox where failed_at is null
  ), 0)::float8 as oldest_seconds;

-- name: list_messages
-- $1 bool: only those that have failed
-- $2 int4: how many at most
-- returns a row for each, oldest first
select
  id, actor, queue, lane, created_at, due_at, eta, failed_at, attempts, last_error,
  coalesce(octet_length(envelope), octet_length(call::text)) as payload_bytes
from outbox
where failed_at is not null or not $1
order by id
limit $2;

-- name: retry_messages
-- $1 uuid[]: which; all that have failed when null
-- returns the ids of those that are tried again
with again as (
  update outbox
  set failed_at = null, due_at = clock_timestamp()
  where failed_at is not null and ($1::uuid[] is null or id = any($1::uuid[]))
  returning id
), told as (
  select pg_notify('octoqueue_outbox', '')
)
select again.id from again, told;

-- name: drop_messages
-- Deletes rows that have failed; a row that waits belongs to the relays.
-- $1 uuid[]: which
-- returns the ids of those that were there
delete from outbox where failed_at is not null and id = any($1::uuid[]) returning id;
