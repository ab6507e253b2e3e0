-- The whole schema as it stands after every migration; a test proves that they are equal.
-- Change it together with a new migration. What the parts mean stands in the migrations.

create table schema_migrations (
  number integer primary key,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null default now()
);

create table tasks (
  task_id uuid primary key,
  goal text not null,
  lane text not null,
  status text not null default 'queued',
  arm text,
  result jsonb,
  error jsonb,
  attempts integer not null default 0,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  queued_at timestamptz not null default now(),

  constraint tasks_goal_has_a_size check (octet_length(goal) between 1 and 32768),
  constraint tasks_lane_is_known check (lane in ('high', 'normal', 'low')),
  constraint tasks_status_is_known check (status in ('queued', 'running', 'completed', 'failed')),
  constraint tasks_attempts_are_counted check (attempts >= 0),
  constraint tasks_started_unless_queued check (
    case status
      when 'queued' then started_at is null and arm is null
      when 'failed' then (started_at is null) = (arm is null)
      else started_at is not null and arm is not null
    end
  ),
  constraint tasks_finished_when_final check (
    (status in ('completed', 'failed')) = (finished_at is not null)
  ),
  constraint tasks_result_when_completed check ((status = 'completed') = (result is not null)),
  constraint tasks_error_when_failed check ((status = 'failed') = (error is not null)),
  constraint tasks_times_in_order check (
    started_at >= created_at and finished_at >= created_at and finished_at >= started_at
  )
)
with (fillfactor = 70);

create index tasks_unfinished on tasks (created_at) where finished_at is null;
