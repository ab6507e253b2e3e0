-- The rows of tasks. Owner: octoqueue.workflow.postgres_tasks.
-- Arrays stand for the calls of one tick; entry n of each array belongs to call n.
-- Writers of several rows lock them in the order of their ids, so that they cannot deadlock.

-- name: add_tasks
-- A row that is there already stays as it is: adding twice is adding once.
-- $1 uuid[]: the tasks
-- $2 text[]: their goals
-- $3 text[]: their lanes
-- returns nothing
insert into tasks (task_id, goal, lane)
select added.task_id, added.goal, added.lane
from unnest($1::uuid[], $2::text[], $3::text[]) as added (task_id, goal, lane)
order by added.task_id
on conflict (task_id) do nothing;

-- name: accept_tasks
-- Rows of tasks and, in the outbox, of the first message of each, which has the same id: both or
-- neither. The same as add_tasks and add_messages in one transaction, in one round trip.
-- $1 uuid[]: the tasks
-- $2 text[]: their goals
-- $3 text[]: their lanes
-- $4 text: the actor of the messages
-- $5 text: their queue
-- $6 bytea[]: their envelopes
-- $7 interval: for how long the relays leave the messages to the caller
-- returns nothing
with accepted as (
  select a.id, a.goal, a.lane, a.envelope
  from unnest($1::uuid[], $2::text[], $3::text[], $6::bytea[]) as a (id, goal, lane, envelope)
), added as (
  insert into tasks (task_id, goal, lane)
  select id, goal, lane from accepted order by id
  on conflict (task_id) do nothing
)
insert into outbox (id, actor, queue, lane, envelope, due_at)
select id, $4, $5, lane, envelope, clock_timestamp() + $7::interval from accepted
on conflict (id) do nothing;

-- name: get_tasks
-- $1 uuid[]: which
-- returns a row for each that exists, in any order
select
  task_id, goal, lane, status, arm, result, error, attempts, created_at, started_at, finished_at
from tasks
where task_id = any($1::uuid[]);

-- name: count_queued_tasks
-- How many tasks wait to be started, by lane.
-- returns a row for each lane in which some do: the lane and how many
select lane, count(*)::int4 as queued from tasks
where finished_at is null and status = 'queued'
group by lane;

-- name: start_tasks
-- queued -> running; whatever is further already stays as it is.
-- $1 uuid[]: the tasks, none twice
-- $2 text[]: the arms that will work on them
-- returns for each task that exists its id and its status before the call
with wanted as (
  select w.task_id, w.arm from unnest($1::uuid[], $2::text[]) as w (task_id, arm)
), held as materialized (
  select tasks.task_id, tasks.status, wanted.arm
  from tasks join wanted using (task_id)
  order by tasks.task_id
  for update of tasks
), moved as (
  update tasks
  set status = 'running', arm = held.arm, started_at = greatest(now(), tasks.created_at)
  from held
  where tasks.task_id = held.task_id and held.status = 'queued'
)
select held.task_id, held.status from held;

-- name: finish_tasks
-- running -> completed, and queued or running -> failed; nothing final is ever overwritten.
-- $1 uuid[]: the tasks, none twice
-- $2 text[]: completed or failed
-- $3 jsonb[]: the results, null for failed
-- $4 jsonb[]: the errors, null for completed
-- $5 int4[]: how often their arm was tried
-- returns for each task that exists its id and its status before the call
with wanted as (
  select w.task_id, w.status, w.result, w.error, w.attempts
  from unnest($1::uuid[], $2::text[], $3::jsonb[], $4::jsonb[], $5::int4[])
    as w (task_id, status, result, error, attempts)
), held as materialized (
  select
    tasks.task_id, tasks.status,
    wanted.status as ending, wanted.result, wanted.error, wanted.attempts
  from tasks join wanted using (task_id)
  order by tasks.task_id
  for update of tasks
), moved as (
  update tasks
  set
    status = held.ending,
    result = held.result,
    error = held.error,
    attempts = held.attempts,
    finished_at = greatest(now(), tasks.created_at, tasks.started_at)
  from held
  where tasks.task_id = held.task_id
    and (held.status = 'running' or (held.status = 'queued' and held.ending = 'failed'))
)
select held.task_id, held.status from held;

-- name: withdraw_tasks
-- Deletes rows of which nothing was accepted; what a worker has started stays.
-- $1 uuid[]: the tasks
-- returns nothing
with held as materialized (
  select task_id from tasks
  where task_id = any($1::uuid[]) and status = 'queued'
  order by task_id
  for update
)
delete from tasks using held where tasks.task_id = held.task_id;

-- name: put_back_tasks
-- Takes queued rows whose message must be gone and stamps them as sent anew; whoever gets a row
-- here sends its message. Concurrent sweeps never get the same row. While the outbox is behind,
-- nobody can tell which messages are gone, and none is taken.
-- $1 interval: how long ago they were last sent at least
-- $2 int4: how many at most
-- returns for each its id, goal and lane, oldest first
with lost as (
  select task_id from tasks
  where finished_at is null and status = 'queued' and queued_at < now() - $1::interval
    and not exists (
      select from outbox
      where outbox.failed_at is null and outbox.created_at < now() - interval '1 minute'
    )
  order by created_at
  limit $2
  for update skip locked
), stamped as (
  update tasks set queued_at = now() from lost where tasks.task_id = lost.task_id
  returning tasks.task_id, tasks.goal, tasks.lane, tasks.created_at
)
select task_id, goal, lane from stamped order by created_at;

-- name: fail_abandoned_tasks
-- Ends running rows that nobody can be working on any more.
-- $1 interval: how long ago they were started at least
-- $2 int4: how many at most
-- $3 jsonb: the error to give them
-- returns their ids
with abandoned as (
  select task_id from tasks
  where finished_at is null and status = 'running' and started_at < now() - $1::interval
  order by created_at
  limit $2
  for update skip locked
)
update tasks
set status = 'failed', error = $3, finished_at = greatest(now(), tasks.started_at)
from abandoned where tasks.task_id = abandoned.task_id
returning tasks.task_id;
