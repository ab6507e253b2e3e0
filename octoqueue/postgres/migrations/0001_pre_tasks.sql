-- What an API caller submitted: a goal with a priority, and what became of it.
create table tasks (
  task_id uuid primary key,
  goal text not null,
  -- the priority, as the lane its messages wait in
  lane text not null,
  -- queued -> running -> completed | failed, and queued -> failed; nothing leaves the last two
  status text not null default 'queued',
  -- which arm works on it, from running on
  arm text,
  -- what it came to, when completed
  result jsonb,
  -- why not, when failed: code and message
  error jsonb,
  -- how often the arm was tried, known from the end on
  attempts integer not null default 0,
  -- accepted by the database's clock, as all three of these
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  -- when a message for it was last sent; older than any waiting message means it has none
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
-- room on the page for the two updates every row gets, so that the first one touches no index
with (fillfactor = 70);

-- The unfinished ones, for the sweep; starting a task leaves this index alone.
create index tasks_unfinished on tasks (created_at) where finished_at is null;
