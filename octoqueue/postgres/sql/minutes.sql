-- What happened in queues, minute by minute. Owner: octoqueue.postgres.minutes.

-- name: add_minutes
-- Keeps minutes; of one that is there already the larger counts, as a store can forget what it has
-- counted, and never counts what did not happen.
-- $1 text[]: queues
-- $2 int8[]: when each minute began, in ms since the epoch
-- $3 int4[]: arrivals in the lane high
-- $4 int4[]: in normal
-- $5 int4[]: in low
-- $6 int4[]: starts in the lane high
-- $7 int4[]: in normal
-- $8 int4[]: in low
-- $9 int4[]: completions
-- $10 int4[]: failures
-- $11 int4[]: runs
-- $12 int8[]: their running times, in microseconds
-- $13 int8[]: the squares of their running times in ms
-- $14 text[]: the buckets of the waits, each list as the text of an array
-- returns nothing
insert into queue_minutes as q (
  queue, minute, arrivals_high, arrivals_normal, arrivals_low, starts_high, starts_normal,
  starts_low, completions, failures, runs, run_us, run_ms2, waits
)
select
  m.queue, to_timestamp(m.minute_ms / 1000.0), m.a_high, m.a_normal, m.a_low, m.s_high, m.s_normal,
  m.s_low, m.completions, m.failures, m.runs, m.run_us, m.run_ms2, m.waits::int4[]
from unnest(
  $1::text[], $2::int8[], $3::int4[], $4::int4[], $5::int4[], $6::int4[], $7::int4[], $8::int4[],
  $9::int4[], $10::int4[], $11::int4[], $12::int8[], $13::int8[], $14::text[]
) as m (
  queue, minute_ms, a_high, a_normal, a_low, s_high, s_normal, s_low, completions, failures, runs,
  run_us, run_ms2, waits
)
order by m.queue, m.minute_ms
on conflict (queue, minute) do update set
  arrivals_high = greatest(q.arrivals_high, excluded.arrivals_high),
  arrivals_normal = greatest(q.arrivals_normal, excluded.arrivals_normal),
  arrivals_low = greatest(q.arrivals_low, excluded.arrivals_low),
  starts_high = greatest(q.starts_high, excluded.starts_high),
  starts_normal = greatest(q.starts_normal, excluded.starts_normal),
  starts_low = greatest(q.starts_low, excluded.starts_low),
  completions = greatest(q.completions, excluded.completions),
  failures = greatest(q.failures, excluded.failures),
  runs = greatest(q.runs, excluded.runs),
  run_us = case when excluded.runs > q.runs then excluded.run_us else q.run_us end,
  run_ms2 = case when excluded.runs > q.runs then excluded.run_ms2 else q.run_ms2 end,
  waits = case
    when (select coalesce(sum(n), 0) from unnest(excluded.waits) as n)
      > (select coalesce(sum(n), 0) from unnest(q.waits) as n) then excluded.waits
    else q.waits
  end
-- a minute that is told again is not written again
where (
  excluded.arrivals_high, excluded.arrivals_normal, excluded.arrivals_low, excluded.starts_high,
  excluded.starts_normal, excluded.starts_low, excluded.completions, excluded.failures,
  excluded.runs
) is distinct from (
  q.arrivals_high, q.arrivals_normal, q.arrivals_low, q.starts_high, q.starts_normal, q.starts_low,
  q.completions, q.failures, q.runs
);

-- name: import_arrivals
-- Keeps arrivals of minutes of which nothing is known.
-- $1 text: the queue
-- $2 int8[]: when each minute began, in ms since the epoch
-- $3 int4[]: arrivals
-- returns when those began that were added, in ms
insert into queue_minutes (queue, minute, arrivals_normal)
select $1::text, to_timestamp(m.minute_ms / 1000.0), m.arrivals
from unnest($2::int8[], $3::int4[]) as m (minute_ms, arrivals)
on conflict (queue, minute) do nothing
returning (extract(epoch from minute) * 1000)::int8 as minute_ms;

-- name: read_arrivals
-- Adds up the arrivals of some queues; a minute that is missing for one of them is left out.
-- $1 text[]: the queues, each once
-- $2 int8: from when on, in ms since the epoch
-- $3 int8: until when, exclusive
-- returns a row for each minute, oldest first
select
  (extract(epoch from minute) * 1000)::int8 as minute_ms,
  sum(arrivals_high::int8 + arrivals_normal + arrivals_low)::int8 as arrivals
from queue_minutes
where queue = any($1::text[]) and minute >= to_timestamp($2::int8 / 1000.0)
  and minute < to_timestamp($3::int8 / 1000.0)
group by minute
having count(*) = cardinality($1::text[])
order by minute;

-- name: prune_minutes
-- Goes from queue to queue in the primary key, also to those that nobody serves any more. An index
-- on time alone would have to be read whole, once the space of old minutes is used by new ones.
-- $1 interval: those that began longer ago go
-- $2 int4: how many at most
-- returns how many went
with recursive names as (
  (select queue from queue_minutes order by queue limit 1)
  union all
  select (
    select later.queue from queue_minutes as later
    where later.queue > names.queue order by later.queue limit 1
  )
  from names where names.queue is not null
), gone as (
  delete from queue_minutes
  where (queue, minute) in (
    select old.queue, old.minute
    from names cross join lateral (
      select q.queue, q.minute from queue_minutes as q
      where q.queue = names.queue and q.minute < now() - $1::interval
      order by q.minute
      limit $2
      for update skip locked
    ) as old
    limit $2
  )
  returning 1
)
select count(*) as pruned from gone;

-- name: load_forecast
-- $1 text: the fleet
-- $2 text[]: the queues whose arrivals it was learnt from, sorted
-- returns no row, or what the forecast had learnt and when that was saved
select state, saved_at from forecast_states where fleet = $1 and queues = $2::text[];

-- name: find_forecast
-- $1 text: the fleet
-- $2 text[]: the queues, sorted
-- returns no row, or when what is kept was saved; null when it is of other queues
select case when queues = $2::text[] then saved_at end as saved_at
from forecast_states where fleet = $1;

-- name: begin_forecast
-- Keeps what a forecast has learnt from nothing, unless somebody has kept his already.
-- $1 text: the fleet
-- $2 text[]: the queues, sorted
-- $3 int8: the newest minute it has seen, in ms since the epoch
-- $4 bytea: what it has learnt
-- returns when it was saved, no row when it was not
insert into forecast_states as f (fleet, queues, minute, state)
values ($1, $2::text[], to_timestamp($3::int8 / 1000.0), $4)
on conflict (fleet) do update set
  queues = excluded.queues,
  minute = excluded.minute,
  state = excluded.state,
  saved_at = clock_timestamp()
where f.queues <> excluded.queues
returning saved_at;

-- name: continue_forecast
-- Keeps what a forecast has learnt beyond what is kept, unless that is another one by now: saved by
-- somebody else, or removed, as who imports history does.
-- $1 text: the fleet
-- $2 timestamptz: when that was saved
-- $3 int8: the newest minute it has seen, in ms since the epoch
-- $4 bytea: what it has learnt
-- returns when it was saved, no row when it was not
update forecast_states set
  minute = to_timestamp($3::int8 / 1000.0),
  state = $4,
  saved_at = greatest(clock_timestamp(), saved_at + interval '1 microsecond')
where fleet = $1 and saved_at = $2
returning saved_at;

-- name: forget_forecasts
-- $1 text: a queue
-- returns the fleets whose forecasts had learnt from it, and will again
delete from forecast_states where $1 = any(queues) returning fleet;
