-- What callers do with workflows, and reading. Owners: octoqueue.workflows.postgres_callers,
-- postgres_reading and postgres_workflows (retries).
-- Arrays stand for the calls of one tick; entry n of each array belongs to call n.

-- name: start_workflows
-- Keeps new workflows and their first executions. A workflow id that is there already keeps what it
-- has: its newest execution and what it was started with come back, unless another transaction has
-- just added it, so that neither is_new nor a digest says anything: then ask again.
-- $1 text[]: the workflows' ids, none twice
-- $2 uuid[]: the executions' ids
-- $3 int4[]: their partitions
-- $4 text[]: the names of the functions
-- $5 int4[]: their versions
-- $6 json[]: the inputs
-- $7 bytea[]: the digests of the inputs
-- $8 text[]: the lanes
-- $9 text[]: the tenants
-- $10 text[]: the complexities
-- $11 jsonb[]: the names of the signals they declare
-- $12 int8[]: the deadlines
-- returns a row for each
with wanted as (
  select w.*
  from unnest(
    $1::text[], $2::uuid[], $3::int4[], $4::text[], $5::int4[], $6::json[], $7::bytea[],
    $8::text[], $9::text[], $10::text[], $11::jsonb[], $12::int8[]
  ) with ordinality as w (
    workflow_id, execution_id, partition, name, version, input, digest, lane, user_id, complexity,
    signals, deadline_at_ms, n
  )
), added as (
  insert into workflows (workflow_id, name, user_id, execution_id, digest)
  select workflow_id, name, user_id, execution_id, digest from wanted order by workflow_id
  on conflict (workflow_id) do nothing
  returning execution_id
), made as (
  insert into workflow_executions (
    execution_id, workflow_id, partition, name, version, run, input, lane, user_id, complexity,
    signals, deadline_at_ms
  )
  select
    execution_id, workflow_id, partition, name, version, 1, input, lane, user_id, complexity,
    signals, deadline_at_ms
  from wanted
  -- as a question this is a look-up in a table of hashes, as a condition it would be a join
  where (execution_id in (select execution_id from added)) is true
), due as (
  insert into workflow_timers (execution_id, step, partition, due_at_ms)
  select execution_id, '', partition, deadline_at_ms
  from wanted
  where deadline_at_ms is not null and (execution_id in (select execution_id from added)) is true
)
select
  (wanted.execution_id in (select execution_id from added)) as is_new,
  now() as now, w.name as first_name, w.digest,
  e.execution_id::text, e.workflow_id, e.partition, e.name, e.version, e.run, e.status, e.input,
  e.output, e.error, e.lane, e.user_id, e.complexity, e.signals, e.deadline_at_ms,
  e.parent_execution_id::text, e.parent_step, e.created_at, e.started_at, e.finished_at
from wanted
  left join workflows w on w.workflow_id = wanted.workflow_id
  left join workflow_executions e on e.execution_id = w.execution_id
order by wanted.n;

-- name: withdraw_executions
-- Deletes queued first executions that were started, with their workflows.
-- $1 uuid[]: which
-- returns the ids of those that are there still
with wanted as (
  select id from unnest($1::uuid[]) as w (id)
), found as materialized (
  select e.execution_id, e.workflow_id,
    e.status = 'queued' and e.run = 1 and e.parent_execution_id is null as may_go
  from wanted join workflow_executions e on e.execution_id = wanted.id
  order by e.execution_id
  for update of e
), locked as materialized (
  -- in the order in which whoever signals many locks them
  select w.workflow_id
  from found join workflows w on w.workflow_id = found.workflow_id
  where w.execution_id = found.execution_id and found.may_go
  order by w.workflow_id
  for update of w
), gone as (
  delete from workflow_executions e using found
  where e.execution_id = found.execution_id and found.may_go
), gone_workflows as (
  delete from workflows w using locked where w.workflow_id = locked.workflow_id
), gone_timers as (
  delete from workflow_timers t using found
  where t.execution_id = found.execution_id and found.may_go
)
select execution_id::text from found where not may_go;

-- name: forget_signals
-- Deletes the signals of executions that were withdrawn. A statement of its own, because it has to
-- see those that were sent while the withdrawal waited for their senders.
-- $1 uuid[]: the executions, which are not there any more
-- returns nothing
delete from workflow_signals s using unnest($1::uuid[]) as w (id) where s.execution_id = w.id;

-- name: get_refused_signals
-- $1 uuid: the execution
-- returns its signals that did not fit, with why, oldest first
select s.signal_id::text, s.kind, s.name, s.value, s.sent_at_ms, s.error
from workflow_signals s
where s.execution_id = $1::uuid and s.state = 'refused'
order by s.sent_at_ms, s.signal_id;

-- name: signal_workflows
-- Keeps signals for the newest executions. Each workflow is locked, so that its execution cannot end
-- or continue at the same time. One that has just done so comes back without its execution, or with
-- one that seems to go on and has not kept the signal: then ask again.
-- $1 text[]: the workflows' ids
-- $2 uuid[]: the signals' ids
-- $3 text[]: their kinds
-- $4 text[]: their names
-- $5 json[]: their values
-- $6 int8[]: when they were sent
-- returns a row for each signal whose workflow is there: which (from 1), whether it is kept, now or
-- since before, and the newest execution
with found as materialized (
  select
    wanted.n, wanted.signal_id, wanted.kind, wanted.signal, wanted.value, wanted.sent_at_ms,
    w.workflow_id, w.execution_id, w.status
  from unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::json[], $6::int8[])
    with ordinality as wanted (workflow_id, signal_id, kind, signal, value, sent_at_ms, n)
    join workflows w on w.workflow_id = wanted.workflow_id
  order by w.workflow_id
  for share of w
), judged as materialized (
  select
    found.*,
    exists (
      select from workflow_executions other
        join workflow_signals s
          on s.execution_id = other.execution_id and s.signal_id = found.signal_id
      where other.workflow_id = found.workflow_id
    ) as is_known,
    e.execution_id is not null
      and found.status in ('queued', 'running', 'blocked')
      and (found.kind <> 'sent' or e.signals is null or e.signals ? found.signal) as is_fit
  from found left join workflow_executions e on e.execution_id = found.execution_id
), kept as (
  insert into workflow_signals (
    execution_id, signal_id, partition, kind, name, value, sent_at_ms
  )
  select
    j.execution_id, j.signal_id, e.partition, j.kind, j.signal, j.value, j.sent_at_ms
  from judged j join workflow_executions e on e.execution_id = j.execution_id
  where j.is_fit and not j.is_known
  on conflict (execution_id, signal_id) do nothing
)
select
  j.n, j.is_fit or j.is_known as is_kept,
  e.execution_id::text, e.workflow_id, e.partition, e.name, e.version, e.run, e.status, e.input,
  e.output, e.error, e.lane, e.user_id, e.complexity, e.signals, e.deadline_at_ms,
  e.parent_execution_id::text, e.parent_step, e.created_at, e.started_at, e.finished_at
from judged j left join workflow_executions e on e.execution_id = j.execution_id;

-- name: get_executions
-- $1 uuid[]: which
-- returns a row for each that is there
select
  e.execution_id::text, e.workflow_id, e.partition, e.name, e.version, e.run, e.status, e.input,
  e.output, e.error, e.lane, e.user_id, e.complexity, e.signals, e.deadline_at_ms,
  e.parent_execution_id::text, e.parent_step, e.created_at, e.started_at, e.finished_at
from unnest($1::uuid[]) as wanted (id)
  join workflow_executions e on e.execution_id = wanted.id;

-- name: get_newest
-- $1 text[]: the ids of workflows
-- returns the newest execution of each that is there
select
  e.execution_id::text, e.workflow_id, e.partition, e.name, e.version, e.run, e.status, e.input,
  e.output, e.error, e.lane, e.user_id, e.complexity, e.signals, e.deadline_at_ms,
  e.parent_execution_id::text, e.parent_step, e.created_at, e.started_at, e.finished_at
from unnest($1::text[]) as wanted (id)
  join workflows w on w.workflow_id = wanted.id
  join workflow_executions e on e.execution_id = w.execution_id;

-- name: list_executions
-- $1 text: the status, null for any, as all four
-- $2 text: the name of the function
-- $3 uuid: only older ones than this
-- $4 int4: how many at most
-- returns a row for each, newest first
select
  e.execution_id::text, e.workflow_id, e.partition, e.name, e.version, e.run, e.status, e.input,
  e.output, e.error, e.lane, e.user_id, e.complexity, e.signals, e.deadline_at_ms,
  e.parent_execution_id::text, e.parent_step, e.created_at, e.started_at, e.finished_at
from workflow_executions e
where ($1::text is null or e.status = $1) and ($2::text is null or e.name = $2)
  and e.execution_id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
order by e.execution_id desc
limit $4;

-- name: list_unwell_executions
-- The same for the statuses of few executions, by an index of these.
-- $1 text: failed, cancelled or blocked
-- $2 text: the name of the function, null for any
-- $3 uuid: only older ones than this, null for all
-- $4 int4: how many at most
-- returns a row for each, newest first
select
  e.execution_id::text, e.workflow_id, e.partition, e.name, e.version, e.run, e.status, e.input,
  e.output, e.error, e.lane, e.user_id, e.complexity, e.signals, e.deadline_at_ms,
  e.parent_execution_id::text, e.parent_step, e.created_at, e.started_at, e.finished_at
from workflow_executions e
where e.status = $1 and e.status in ('failed', 'cancelled', 'blocked')
  and ($2::text is null or e.name = $2)
  and e.execution_id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
order by e.execution_id desc
limit $4;

-- name: list_unfinished_executions
-- The same for the statuses in which nothing has ended: there are as many as are under way, wherever
-- they are among all the others, so they are looked up first and put in order then.
-- $1 text: queued or running
-- $2 text: the name of the function, null for any
-- $3 uuid: only older ones than this, null for all
-- $4 int4: how many at most
-- returns a row for each, newest first
with unfinished as materialized (
  select execution_id from workflow_executions
  where status = $1 and finished_at is null and ($2::text is null or name = $2)
    and execution_id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
), page as materialized (
  select execution_id from unfinished order by execution_id desc limit $4
)
select
  e.execution_id::text, e.workflow_id, e.partition, e.name, e.version, e.run, e.status, e.input,
  e.output, e.error, e.lane, e.user_id, e.complexity, e.signals, e.deadline_at_ms,
  e.parent_execution_id::text, e.parent_step, e.created_at, e.started_at, e.finished_at
from page join workflow_executions e on e.execution_id = page.execution_id
where e.status = $1
order by e.execution_id desc;

-- name: list_executions_of_user
-- $1 text: the tenant
-- $2 text: the status, null for any
-- $3 text: the name of the function, null for any
-- $4 uuid: only older ones than this, null for all
-- $5 int4: how many at most
-- returns a row for each, newest first
select
  e.execution_id::text, e.workflow_id, e.partition, e.name, e.version, e.run, e.status, e.input,
  e.output, e.error, e.lane, e.user_id, e.complexity, e.signals, e.deadline_at_ms,
  e.parent_execution_id::text, e.parent_step, e.created_at, e.started_at, e.finished_at
from workflow_executions e
where e.user_id = $1
  and ($2::text is null or e.status = $2) and ($3::text is null or e.name = $3)
  and e.execution_id < coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
order by e.execution_id desc
limit $5;

-- name: list_executions_of_workflow
-- $1 text: the workflow's id
-- $2 text: the tenant, null for any
-- $3 text: the status, null for any
-- $4 text: the name of the function, null for any
-- $5 uuid: only older ones than this, null for all
-- $6 int4: how many at most
-- returns a row for each, newest first
select
  e.execution_id::text, e.workflow_id, e.partition, e.name, e.version, e.run, e.status, e.input,
  e.output, e.error, e.lane, e.user_id, e.complexity, e.signals, e.deadline_at_ms,
  e.parent_execution_id::text, e.parent_step, e.created_at, e.started_at, e.finished_at
from workflow_executions e
where e.workflow_id = $1 and ($2::text is null or e.user_id = $2)
  and ($3::text is null or e.status = $3) and ($4::text is null or e.name = $4)
  and e.execution_id < coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
order by e.execution_id desc
limit $6;

-- name: lock_workflow
-- Keeps everybody else from beginning an execution of it, until the end of the transaction.
-- $1 text: its id
-- returns its newest execution and its number, or nothing
select execution_id::text, run from workflows where workflow_id = $1 for update;

-- name: add_retry
-- Keeps a new execution of a workflow that is locked, with a journal.
-- $1 uuid: the execution it is a retry of
-- $2 uuid: its id
-- $3 int4: its number
-- $4 int8: its deadline
-- $5 text[]: the keys of the steps it takes over
-- returns when it was made
with old as (
  select * from workflow_executions where execution_id = $1::uuid
), made as (
  insert into workflow_executions (
    execution_id, workflow_id, partition, name, version, run, input, lane, user_id, complexity,
    signals, deadline_at_ms
  )
  select
    $2::uuid, workflow_id, partition, name, version, $3::int4, input, lane, user_id, complexity,
    signals, $4::int8
  from old
  returning created_at
), moved as (
  update workflows w
  set execution_id = $2::uuid, run = $3::int4, status = 'queued'
  from old where w.workflow_id = old.workflow_id
), due as (
  insert into workflow_timers (execution_id, step, partition, due_at_ms)
  select $2::uuid, '', partition, $4::int8 from old where $4::int8 is not null
), copied as (
  insert into workflow_steps (
    execution_id, key, kind, name, digest, status, ordinal, input, output, error, message_id,
    child_id, due_at_ms, began_at_ms, ended_at_ms, attempts
  )
  select
    $2::uuid, s.key, s.kind, s.name, s.digest, s.status, s.ordinal, s.input, s.output, s.error,
    s.message_id, s.child_id, s.due_at_ms, s.began_at_ms, s.ended_at_ms, s.attempts
  from unnest($5::text[]) as k (key)
    join workflow_steps s on s.execution_id = $1::uuid and s.key = k.key
)
select created_at from made;
