-- Forgetting. Owner: octoqueue.workflows.postgres_retention.

-- name: read_clock
-- returns one row: now
select now() as now;

-- name: make_months
-- Makes the divisions of the months from $1 on.
-- $1 timestamptz: a moment of the first, null for now
-- $2 int4: how many
-- returns one row of no use
select octoqueue_make_workflow_months_v1(
  (coalesce($1::timestamptz, now()) at time zone 'utc')::date, $2
);

-- name: list_old_months
-- Divisions whose executions have all ended long enough ago.
-- $1 timestamptz: ended before when
-- returns for each its month and its bounds
select months.month, months.low::text, months.high::text
from (
  select
    month::date,
    octoqueue_uuid_of_v1(month at time zone 'utc') as low,
    octoqueue_uuid_of_v1((month + interval '1 month') at time zone 'utc') as high
  from (
    select to_date(right(c.relname, 7), 'yyyy_mm')::timestamp as month
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'workflow_executions'::regclass
      and c.relname ~ '^workflow_executions_\d{4}_\d{2}$'
  ) as named
  where month + interval '1 month' <= $1::timestamptz at time zone 'utc'
) as months
where not exists (
  select from workflow_executions e
  where e.execution_id >= months.low and e.execution_id < months.high
    and (e.finished_at is null or e.finished_at >= $1)
)
order by months.month;

-- name: forget_workflows
-- Deletes workflows whose newest execution is in a division that will be dropped.
-- $1 uuid: executions after this one
-- $2 uuid: and before this one
-- $3 int4: how many at most
-- returns one row: how many executions were looked at, and the last of them
with gone as materialized (
  select execution_id, workflow_id from workflow_executions
  where execution_id > $1 and execution_id < $2
  order by execution_id
  limit $3
), forgotten as (
  delete from workflows w using gone
  where w.workflow_id = gone.workflow_id and w.execution_id = gone.execution_id
)
select
  count(*) as seen, (select execution_id::text from gone order by execution_id desc limit 1) as last
from gone;

-- name: drop_month
-- $1 date: the month
-- returns one row of no use
select octoqueue_drop_workflow_month_v1($1);

-- name: delete_ended_executions
-- Deletes executions that ended long enough ago, and all of theirs, the oldest first. It waits for
-- nobody: what somebody signals or retries is left for the next time.
-- $1 timestamptz: ended before when
-- $2 int4: how many at most
-- returns one row: how many there were
with old as materialized (
  (
    select execution_id, workflow_id from workflow_executions
    -- ids are made by other clocks, which may be a day ahead
    where finished_at < $1
      and execution_id < octoqueue_uuid_of_v1($1::timestamptz + interval '1 day')
    order by execution_id
    limit $2
  )
  union all
  (
    -- or by clocks that were years ahead
    select execution_id, workflow_id from workflow_executions_other
    where finished_at < $1
      and execution_id >= octoqueue_uuid_of_v1(greatest($1, now()) + interval '1 day')
    order by execution_id
    limit $2
  )
), newest as materialized (
  select w.workflow_id, w.execution_id
  from old join workflows w on w.workflow_id = old.workflow_id
  where w.execution_id = old.execution_id
), locked as materialized (
  select w.execution_id
  from newest join workflows w on w.workflow_id = newest.workflow_id
  where w.execution_id = newest.execution_id
  for update of w skip locked
), gone as materialized (
  select old.execution_id, old.workflow_id
  from old
  where old.execution_id not in (select execution_id from newest)
    or old.execution_id in (select execution_id from locked)
), gone_steps as (
  delete from workflow_steps s using gone where s.execution_id = gone.execution_id
), gone_signals as (
  delete from workflow_signals s using gone where s.execution_id = gone.execution_id
), gone_timers as (
  delete from workflow_timers t using gone where t.execution_id = gone.execution_id
), gone_workflows as (
  delete from workflows w using gone
  where w.workflow_id = gone.workflow_id and w.execution_id = gone.execution_id
), gone_executions as (
  delete from workflow_executions e using gone where e.execution_id = gone.execution_id
)
select count(*) as count from gone;

-- name: forget_agents
-- Deletes agents that have been gone for a day and hold nothing.
-- returns nothing
delete from agents
where expires_at < now() - interval '1 day'
  and not exists (select from workflow_partitions where owner = agents.agent_id);
