-- What happened in each queue, minute by minute: the history that forecasts learn from.
create table queue_minutes (
  queue text not null,
  -- when it began, by the clock of the store that counted
  minute timestamptz not null,
  arrivals_high integer not null default 0,
  arrivals_normal integer not null default 0,
  arrivals_low integer not null default 0,
  starts_high integer not null default 0,
  starts_normal integer not null default 0,
  starts_low integer not null default 0,
  completions integer not null default 0,
  failures integer not null default 0,
  -- attempts whose running times are in the sums: microseconds, and squares of milliseconds
  runs integer not null default 0,
  run_us bigint not null default 0,
  run_ms2 bigint not null default 0,
  -- how long those waited that were started, of all lanes: buckets of primitives/histogram.py;
  -- empty when none was started
  waits integer[] not null default '{}',

  primary key (queue, minute),
  constraint queue_minutes_are_whole check (minute = date_trunc('minute', minute)),
  constraint queue_minutes_are_counted check (
    least(
      arrivals_high, arrivals_normal, arrivals_low, starts_high, starts_normal, starts_low,
      completions, failures, runs, run_us, run_ms2
    ) >= 0
  )
);

-- What the forecast of a fleet has learnt, so that a restart does not forget it.
create table forecast_states (
  fleet text primary key,
  -- whose arrivals, added up; of others something else is to be learnt
  queues text[] not null,
  -- the newest minute it has seen
  minute timestamptz not null,
  state bytea not null,
  saved_at timestamptz not null default clock_timestamp()
);
