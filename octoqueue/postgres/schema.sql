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
  asked_arm text,

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

create table workflows (
  workflow_id text collate "C" primary key,
  name text not null,
  user_id text,
  status text not null default 'queued',
  execution_id uuid not null,
  run integer not null default 1,
  digest bytea not null,
  parent_id text collate "C",
  created_at timestamptz not null default now(),

  constraint workflows_name_is_there check (name <> ''),
  constraint workflows_runs_are_counted check (run >= 1),
  constraint workflows_status_is_known check (
    status in ('queued', 'running', 'blocked', 'completed', 'failed', 'cancelled', 'continued')
  )
)
with (fillfactor = 80);

create index workflows_by_user on workflows (user_id, status, created_at);
create table workflow_executions (
  execution_id uuid primary key,
  workflow_id text collate "C" not null,
  partition integer not null,
  name text not null,
  version integer not null,
  run integer not null,
  status text not null default 'queued',
  input json not null,
  output json,
  error json,
  lane text not null,
  user_id text,
  complexity text not null,
  signals jsonb,
  deadline_at_ms bigint,
  parent_execution_id uuid,
  parent_step text,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,

  constraint workflow_executions_lane_is_known check (lane in ('high', 'normal', 'low')),
  constraint workflow_executions_complexity_is_known check (
    complexity in ('low', 'medium', 'high')
  ),
  constraint workflow_executions_status_is_known check (
    status in ('queued', 'running', 'blocked', 'completed', 'failed', 'cancelled', 'continued')
  ),
  constraint workflow_executions_started_as_it_stands check (
    case status
      when 'queued' then started_at is null
      when 'blocked' then true
      when 'failed' then true
      when 'cancelled' then true
      else started_at is not null
    end
  ),
  constraint workflow_executions_finished_when_final check (
    (status in ('completed', 'failed', 'cancelled', 'continued')) = (finished_at is not null)
  ),
  constraint workflow_executions_output_when_completed check (
    (status = 'completed') = (output is not null)
  ),
  constraint workflow_executions_error_when_it_has_one check (
    (status in ('failed', 'cancelled', 'blocked')) = (error is not null)
  ),
  constraint workflow_executions_times_in_order check (
    started_at >= created_at and finished_at >= created_at and finished_at >= started_at
  ),
  constraint workflow_executions_parent_waits_at_a_step check (
    (parent_execution_id is null) = (parent_step is null)
  ),
  constraint workflow_executions_runs_are_counted check (run >= 1 and partition >= 0)
) partition by range (execution_id);

create index workflow_executions_by_workflow
  on workflow_executions (workflow_id, status, started_at);
create index workflow_executions_open
  on workflow_executions (partition, status, execution_id) where finished_at is null;
create index workflow_executions_unwell
  on workflow_executions (status, execution_id) where status in ('failed', 'cancelled', 'blocked');
create index workflow_executions_by_user
  on workflow_executions (user_id, execution_id) where user_id is not null;
create table workflow_steps (
  execution_id uuid not null,
  key text collate "C" not null,
  kind text not null,
  name text not null,
  digest bytea not null,
  status text not null,
  ordinal integer not null,
  input json,
  output json,
  error json,
  message_id uuid,
  child_id uuid,
  due_at_ms bigint,
  began_at_ms bigint not null,
  ended_at_ms bigint,
  attempts integer not null,

  primary key (execution_id, key),
  constraint workflow_steps_kind_is_known check (
    kind in ('call', 'run', 'sleep', 'signal', 'child', 'event', 'patch', 'cancel')
  ),
  constraint workflow_steps_status_is_known check (
    status in ('pending', 'completed', 'failed', 'cancelled')
  ),
  constraint workflow_steps_pending_without_an_end check (
    status <> 'pending' or (ordinal = 0 and output is null and error is null)
  ),
  constraint workflow_steps_are_counted check (ordinal >= 0 and attempts >= 0)
) partition by range (execution_id);
create table workflow_signals (
  execution_id uuid not null,
  signal_id uuid not null,
  partition integer not null,
  kind text not null,
  name text not null,
  value json not null,
  sent_at_ms bigint not null,
  state text not null default 'waiting',
  error json,

  primary key (execution_id, signal_id),
  constraint workflow_signals_kind_is_known check (kind in ('sent', 'cancel', 'child')),
  constraint workflow_signals_state_is_known check (
    state in ('waiting', 'taken', 'refused', 'missed')
  ),
  constraint workflow_signals_error_when_refused check ((state = 'refused') = (error is not null))
) partition by range (execution_id);

create index workflow_signals_waiting
  on workflow_signals (partition, execution_id) where state = 'waiting';
create table workflow_timers (
  execution_id uuid not null,
  step text collate "C" not null,
  partition integer not null,
  due_at_ms bigint not null,

  primary key (execution_id, step)
)
with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

create index workflow_timers_due on workflow_timers (partition, due_at_ms, execution_id, step);
create table agents (
  agent_id uuid primary key,
  type text not null,
  status text not null default 'active',
  host text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,

  constraint agents_status_is_known check (status in ('active', 'left'))
)
with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 1000);

create index agents_by_type on agents (type, status, created_at);
create table workflow_partitions (
  partition integer primary key,
  owner uuid,
  epoch bigint not null,
  taken_at timestamptz not null default now(),

  constraint workflow_partitions_are_counted check (partition >= 0 and epoch >= 0)
)
with (fillfactor = 50);

create table workflow_executions_other partition of workflow_executions default
  with (fillfactor = 80);
create table workflow_steps_other partition of workflow_steps default with (fillfactor = 50);
create table workflow_signals_other partition of workflow_signals default with (fillfactor = 90);
create function octoqueue_uuid_of_v1(moment timestamptz) returns uuid
language sql immutable parallel safe
as $$
  select (
    lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0') || repeat('0', 20)
  )::uuid
$$;
create function octoqueue_make_workflow_months_v1(first date, months integer) returns integer
language plpgsql volatile
set search_path from current
set lock_timeout = '500ms'
as $$
declare
  parent text;
  month date;
  division text;
  made integer := 0;
begin
  for n in 0 .. months - 1 loop
    month := (date_trunc('month', first::timestamp) + n * interval '1 month')::date;
    continue when to_regclass('workflow_steps_' || to_char(month, 'YYYY_MM')) is not null;
    begin
      foreach parent in array array[
        'workflow_executions', 'workflow_steps', 'workflow_signals'
      ] loop
        division := parent || '_' || to_char(month, 'YYYY_MM');
        execute format(
          'create table %I partition of %I for values from (%L) to (%L) with (fillfactor = %s)',
          division, parent,
          octoqueue_uuid_of_v1(month::timestamp at time zone 'UTC'),
          octoqueue_uuid_of_v1((month + interval '1 month') at time zone 'UTC'),
          case parent
            when 'workflow_executions' then 80 when 'workflow_steps' then 50 else 90
          end
        );
      end loop;
      made := made + 1;
    exception when check_violation then
      null;
    end;
  end loop;
  return made;
end
$$;
create function octoqueue_drop_workflow_month_v1(month date) returns void
language plpgsql volatile
set search_path from current
set lock_timeout = '500ms'
as $$
declare
  parent text;
begin
  foreach parent in array array[
    'workflow_executions', 'workflow_steps', 'workflow_signals'
  ] loop
    execute format('drop table %I', parent || '_' || to_char(month, 'YYYY_MM'));
  end loop;
end
$$;
create function octoqueue_write_turns_v1(
  agent uuid, wanted_partitions integer[], wanted_epochs bigint[],
  e_id uuid[], e_partition integer[],
  m_status text[], m_runs boolean[], m_needs_begun boolean[], m_output json[], m_error json[],
  s_turn integer[], s_key text[], s_kind text[], s_name text[], s_digest bytea[], s_status text[],
  s_ordinal integer[], s_input json[], s_output json[], s_error json[], s_message_id uuid[],
  s_child_id uuid[], s_due_at_ms bigint[], s_began_at_ms bigint[], s_ended_at_ms bigint[],
  s_attempts integer[],
  t_turn integer[], t_step text[], t_due_at_ms bigint[],
  x_turn integer[], x_step text[],
  g_turn integer[], g_id uuid[], g_error json[],
  n_turn integer[], n_continues boolean[], n_workflow_id text[], n_execution_id uuid[],
  n_name text[], n_version integer[], n_run integer[], n_input json[], n_digest bytea[],
  n_lane text[], n_user_id text[], n_complexity text[], n_signals jsonb[],
  n_deadline_at_ms bigint[], n_parent_id uuid[], n_parent_step text[],
  n_taken json[]
) returns integer[]
language plpgsql volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
  held integer[];
  moved integer[] := '{}';
  stayed integer[] := '{}';
  place integer;
  -- for each execution whether its turns are written
  applied boolean[] := array_fill(false, array[cardinality(e_id)]);
  ended uuid[] := '{}';
  now_ms bigint := (extract(epoch from now()) * 1000)::bigint;
begin
  -- Waits for whoever is taking one of them; whoever wants to take one waits for us.
  select coalesce(array_agg(locked.partition), '{}') into held
  from (
    select p.partition
    from unnest(wanted_partitions, wanted_epochs) as w (partition, epoch)
      join workflow_partitions p on p.partition = w.partition
    where p.owner = agent and p.epoch = w.epoch
    order by p.partition
    for share of p
  ) as locked;

  if cardinality(m_status) > 0 then
    with changed as (
      update workflow_executions e
      set
        status = m.status,
        output = m.output,
        error = m.error,
        started_at = case
          when m.runs then coalesce(e.started_at, greatest(now(), e.created_at))
          else e.started_at
        end,
        finished_at = case
          when m.status in ('completed', 'failed', 'cancelled', 'continued')
          then greatest(now(), e.created_at, e.started_at)
        end
      from unnest(e_id, e_partition, m_status, m_runs, m_needs_begun, m_output, m_error)
        with ordinality as m (id, partition, status, runs, needs_begun, output, error, turn)
      where m.status is not null and m.partition = any(held)
        and e.execution_id = m.id and e.partition = m.partition
        and e.finished_at is null and (not m.needs_begun or e.status <> 'queued')
      returning m.turn
    )
    select coalesce(array_agg(turn::integer), '{}') into moved from changed;
  end if;

  if cardinality(m_status) < cardinality(e_id) then
    select coalesce(array_agg(t.turn::integer), '{}') into stayed
    from unnest(e_id, e_partition, m_status) with ordinality as t (id, partition, status, turn)
      join workflow_executions e on e.execution_id = t.id and e.partition = t.partition
    where t.status is null and t.partition = any(held) and e.status in ('running', 'blocked');
  end if;

  foreach place in array moved || stayed loop
    applied[place] := true;
  end loop;
  foreach place in array moved loop
    if m_status[place] in ('completed', 'failed', 'cancelled', 'continued') then
      ended := ended || e_id[place];
    end if;
  end loop;

  if cardinality(moved) > 0 then
    update workflows w
    set status = e.status
    from (
      select e.workflow_id, e.execution_id, e.status
      from unnest(moved) as m (turn) join workflow_executions e on e.execution_id = e_id[m.turn]
      -- in the order in which whoever signals many locks them
      order by e.workflow_id
    ) as e
    where w.workflow_id = e.workflow_id and w.execution_id = e.execution_id;
  end if;

  if cardinality(n_turn) > 0 then
    insert into workflow_executions (
      execution_id, workflow_id, partition, name, version, run, input, lane, user_id, complexity,
      signals, deadline_at_ms, parent_execution_id, parent_step
    )
    select
      n.execution_id, n.workflow_id, e.partition, n.name, n.version, n.run, n.input, n.lane,
      n.user_id, n.complexity, n.signals, n.deadline_at_ms, e.parent_execution_id, e.parent_step
    from unnest(
      n_turn, n_continues, n_execution_id, n_workflow_id, n_name, n_version, n_run, n_input,
      n_lane, n_user_id, n_complexity, n_signals, n_deadline_at_ms
    ) as n (
      turn, continues, execution_id, workflow_id, name, version, run, input, lane, user_id,
      complexity, signals, deadline_at_ms
    )
      join workflow_executions e on e.execution_id = e_id[n.turn]
    where n.continues and applied[n.turn];

    update workflows w
    set execution_id = n.execution_id, run = n.run, status = 'queued'
    from unnest(n_turn, n_continues, n_execution_id, n_workflow_id, n_run)
      as n (turn, continues, execution_id, workflow_id, run)
    where n.continues and applied[n.turn] and w.workflow_id = n.workflow_id;

    -- A child that is there already was written by an earlier try of the same write.
    insert into workflows as w (
      workflow_id, name, user_id, execution_id, run, digest, parent_id
    )
    select
      n.workflow_id, n.name, n.user_id, n.execution_id, n.run, n.digest, e.workflow_id
    from unnest(
      n_turn, n_continues, n_execution_id, n_workflow_id, n_name, n_user_id, n_run, n_digest
    ) as n (turn, continues, execution_id, workflow_id, name, user_id, run, digest)
      join workflow_executions e on e.execution_id = e_id[n.turn]
    where not n.continues and applied[n.turn] and not exists (
      select from workflow_executions there where there.execution_id = n.execution_id
    )
    order by n.workflow_id
    on conflict (workflow_id) do update
    set
      execution_id = excluded.execution_id, name = excluded.name, run = w.run + 1,
      status = 'queued'
    where w.parent_id = excluded.parent_id
      and w.status in ('completed', 'failed', 'cancelled', 'continued');

    insert into workflow_executions (
      execution_id, workflow_id, partition, name, version, run, input, lane, user_id, complexity,
      signals, deadline_at_ms, parent_execution_id, parent_step
    )
    select
      n.execution_id, n.workflow_id, e_partition[n.turn], n.name, n.version, w.run, n.input,
      n.lane, n.user_id, n.complexity, n.signals, n.deadline_at_ms, n.parent_id, n.parent_step
    from unnest(
      n_turn, n_continues, n_execution_id, n_workflow_id, n_name, n_version, n_input, n_lane,
      n_user_id, n_complexity, n_signals, n_deadline_at_ms, n_parent_id, n_parent_step
    ) as n (
      turn, continues, execution_id, workflow_id, name, version, input, lane, user_id, complexity,
      signals, deadline_at_ms, parent_id, parent_step
    )
      join workflows w on w.workflow_id = n.workflow_id and w.execution_id = n.execution_id
    where not n.continues and applied[n.turn]
    on conflict (execution_id) do nothing;

    insert into workflow_timers (execution_id, step, partition, due_at_ms)
    select n.execution_id, '', e_partition[n.turn], n.deadline_at_ms
    from unnest(n_turn, n_execution_id, n_deadline_at_ms)
      as n (turn, execution_id, deadline_at_ms)
      join workflow_executions e on e.execution_id = n.execution_id and e.finished_at is null
    where n.deadline_at_ms is not null and applied[n.turn]
    on conflict (execution_id, step) do nothing;

    insert into workflow_signals (
      execution_id, signal_id, partition, kind, name, value, sent_at_ms
    )
    select
      n.parent_id, n.execution_id, e_partition[n.turn], 'child', n.parent_step, n.taken, now_ms
    from unnest(n_turn, n_continues, n_execution_id, n_parent_id, n_parent_step, n_taken)
      as n (turn, continues, execution_id, parent_id, parent_step, taken)
      join workflow_executions parent on parent.execution_id = n.parent_id
    where not n.continues and applied[n.turn] and parent.finished_at is null and not exists (
      select from workflow_executions there where there.execution_id = n.execution_id
    )
    on conflict (execution_id, signal_id) do nothing;
  end if;

  if cardinality(s_turn) > 0 then
    insert into workflow_steps as kept (
      execution_id, key, kind, name, digest, status, ordinal, input, output, error, message_id,
      child_id, due_at_ms, began_at_ms, ended_at_ms, attempts
    )
    select
      e_id[s.turn], s.key, s.kind, s.name, s.digest, s.status, s.ordinal, s.input, s.output,
      s.error, s.message_id, s.child_id, s.due_at_ms, s.began_at_ms, s.ended_at_ms, s.attempts
    from unnest(
      s_turn, s_key, s_kind, s_name, s_digest, s_status, s_ordinal, s_input, s_output, s_error,
      s_message_id, s_child_id, s_due_at_ms, s_began_at_ms, s_ended_at_ms, s_attempts
    ) as s (
      turn, key, kind, name, digest, status, ordinal, input, output, error, message_id, child_id,
      due_at_ms, began_at_ms, ended_at_ms, attempts
    )
    where applied[s.turn]
    on conflict (execution_id, key) do update
    set
      status = excluded.status, ordinal = excluded.ordinal, output = excluded.output,
      error = excluded.error, message_id = excluded.message_id, child_id = excluded.child_id,
      due_at_ms = excluded.due_at_ms, ended_at_ms = excluded.ended_at_ms,
      attempts = excluded.attempts
    where kept.status = 'pending';

    -- Children given up are asked to end, wherever they have continued; once, by the parent's id.
    if 'cancelled' = any(s_status) then
      insert into workflow_signals (
        execution_id, signal_id, partition, kind, name, value, sent_at_ms
      )
      select
        newest.execution_id, e_id[s.turn], newest.partition, 'cancel', '',
        '"its parent has gone on without it"', now_ms
      from unnest(s_turn, s_key, s_kind, s_status, s_child_id)
        as s (turn, key, kind, status, child_id)
        join workflow_executions child on child.execution_id = s.child_id
        join workflows w on w.workflow_id = child.workflow_id
        join workflow_executions newest on newest.execution_id = w.execution_id
      where applied[s.turn] and s.kind = 'child' and s.status = 'cancelled'
        and newest.parent_execution_id = e_id[s.turn] and newest.parent_step = s.key
        and newest.finished_at is null
      on conflict (execution_id, signal_id) do nothing;
    end if;
  end if;

  if cardinality(t_turn) > 0 then
    insert into workflow_timers (execution_id, step, partition, due_at_ms)
    select e_id[t.turn], t.step, e_partition[t.turn], t.due_at_ms
    from unnest(t_turn, t_step, t_due_at_ms) as t (turn, step, due_at_ms)
      join workflow_steps s on s.execution_id = e_id[t.turn] and s.key = t.step
    where applied[t.turn] and s.status = 'pending'
    on conflict (execution_id, step) do update set due_at_ms = excluded.due_at_ms;
  end if;

  if cardinality(x_turn) > 0 then
    delete from workflow_timers t
    using unnest(x_turn, x_step) as x (turn, step)
    where applied[x.turn] and t.execution_id = e_id[x.turn] and t.step = x.step;
  end if;

  if cardinality(ended) > 0 then
    insert into workflow_signals (
      execution_id, signal_id, partition, kind, name, value, sent_at_ms
    )
    select
      parent.execution_id, e.execution_id, parent.partition, 'child', e.parent_step,
      format(
        '{"status":"%s","output":%s,"error":%s}',
        e.status, coalesce(e.output::text, 'null'), coalesce(e.error::text, 'null')
      )::json,
      now_ms
    from unnest(ended) as x (id)
      join workflow_executions e on e.execution_id = x.id
      join workflow_executions parent on parent.execution_id = e.parent_execution_id
    where e.status <> 'continued' and parent.finished_at is null
    on conflict (execution_id, signal_id) do nothing;
  end if;

  if cardinality(g_turn) > 0 then
    update workflow_signals k
    set state = case when g.error is null then 'taken' else 'refused' end, error = g.error
    from unnest(g_turn, g_id, g_error) as g (turn, id, error)
    where applied[g.turn] and k.execution_id = e_id[g.turn] and k.signal_id = g.id
      and k.state = 'waiting';
  end if;

  if cardinality(ended) > 0 then
    delete from workflow_timers t using unnest(ended) as x (id) where t.execution_id = x.id;

    if cardinality(n_turn) > 0 then
      update workflow_signals k
      set execution_id = n.execution_id
      from unnest(n_turn, n_continues, n_execution_id) as n (turn, continues, execution_id)
      where n.continues and applied[n.turn] and k.execution_id = e_id[n.turn]
        and k.state = 'waiting' and k.kind <> 'child'
        -- a CANCEL is there already when the parent has given the child up again
        and not exists (
          select from workflow_signals there
          where there.execution_id = n.execution_id and there.signal_id = k.signal_id
        );
    end if;

    update workflow_signals k
    set state = 'missed'
    from unnest(ended) as x (id)
    where k.execution_id = x.id and k.state = 'waiting';
  end if;

  return array(select w from unnest(wanted_partitions) as w where w <> all(held));
end
$$;
select octoqueue_make_workflow_months_v1((now() at time zone 'UTC')::date, 4);

create table queue_minutes (
  queue text not null,
  minute timestamptz not null,
  arrivals_high integer not null default 0,
  arrivals_normal integer not null default 0,
  arrivals_low integer not null default 0,
  starts_high integer not null default 0,
  starts_normal integer not null default 0,
  starts_low integer not null default 0,
  completions integer not null default 0,
  failures integer not null default 0,
  runs integer not null default 0,
  run_us bigint not null default 0,
  run_ms2 bigint not null default 0,
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
create table forecast_states (
  fleet text primary key,
  queues text[] not null,
  minute timestamptz not null,
  state bytea not null,
  saved_at timestamptz not null default clock_timestamp()
);
