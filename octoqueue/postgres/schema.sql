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

create table outbox (
  id uuid primary key,
  actor text not null,
  queue text,
  lane text,
  line text not null generated always as (coalesce(queue || ':' || lane, '@' || actor)) stored,
  envelope bytea,
  call jsonb,
  eta timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  due_at timestamptz not null default clock_timestamp(),
  attempts integer not null default 0,
  last_error text,
  failed_at timestamptz,

  constraint outbox_actor_is_named check (actor <> ''),
  constraint outbox_lane_is_known check (lane in ('high', 'normal', 'low')),
  constraint outbox_has_one_form check ((envelope is null) <> (call is null)),
  constraint outbox_envelope_has_a_place check (
    envelope is null or (queue is not null and lane is not null)
  ),
  constraint outbox_attempts_are_counted check (attempts >= 0),
  constraint outbox_failed_with_an_error check (failed_at is null or last_error is not null)
)
with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
create index outbox_pending on outbox (line, due_at, id) where failed_at is null;

create index outbox_failed on outbox (failed_at) where failed_at is not null;
create function octoqueue_uuid7() returns uuid
language sql volatile parallel safe
as $$
  select encode(
    set_bit(set_bit(
      overlay(
        uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
        from 1 for 6
      ), 52, 1), 53, 1), 'hex')::uuid
$$;
create function octoqueue_enqueue(
  actor text,
  args jsonb default '[]',
  kwargs jsonb default '{}',
  queue text default null,
  lane text default null,
  delay interval default '0',
  options jsonb default '{}'
) returns uuid
language plpgsql volatile
set search_path from current
as $$
#variable_conflict use_variable
declare
  message_id uuid := octoqueue_uuid7();
  refusal text := case
    when actor is null or actor = '' then 'actor: is empty'
    when args is null or jsonb_typeof(args) <> 'array' then 'args: must be a JSON array'
    when kwargs is null or jsonb_typeof(kwargs) <> 'object' then 'kwargs: must be a JSON object'
    when queue !~ '^[a-zA-Z_][a-zA-Z0-9._-]*$' then format('queue: %L is no name of a queue', queue)
    when lane not in ('high', 'normal', 'low') then
      format('lane: %L is none of high, normal, low', lane)
    when delay is null or delay < interval '0' then format('delay: %s is negative', delay)
    when delay > interval '366 days' then format('delay: %s is longer than 366 days', delay)
    when options is null or jsonb_typeof(options) <> 'object' then
      'options: must be a JSON object'
  end;
begin
  if refusal is not null then
    raise exception using errcode = 'invalid_parameter_value', message = refusal;
  end if;
  insert into outbox (id, actor, queue, lane, call, eta)
  values (
    message_id, actor, queue, lane,
    jsonb_build_object('args', args, 'kwargs', kwargs, 'options', options),
    case when delay > interval '0' then clock_timestamp() + delay end
  );
  perform pg_notify('octoqueue_outbox', '');
  return message_id;
end
$$;
