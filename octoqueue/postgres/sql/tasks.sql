-- The rows of tasks. Owner: octoqueue.workflows.postgres_tasks.
-- Arrays stand for the calls of one tick; entry n of each array belongs to call n.
-- Writers of several rows lock them in the order of their ids, so that they cannot deadlock.

-- name: add_tasks
-- A row that is there already stays as it is: adding twice is adding once.
-- $1 uuid[]: the tasks
-- $2 text[]: their goals
-- $3 text[]: their lanes
-- $4 text[]: the arms they name, null for those that are planned
-- returns nothing
insert into tasks (task_id, goal, lane, asked_arm)
select added.task_id, added.goal, added.lane, added.asked_arm
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
  as added (task_id, goal, lane, asked_arm)
order by added.task_id
on conflict (task_id) do nothing;

-- name: accept_direct_tasks
-- Rows of tasks that name their arm and, in the outbox, of the message of each, which has the same
-- id: both or neither. The same as add_tasks and add_messages in one transaction, in one round
-- trip.
-- $1 uuid[]: the tasks
-- $2 text[]: their goals
-- $3 text[]: their lanes
-- $4 text[]: the arms they name
-- $5 text[]: the actors of their messages
-- $6 text[]: their queues
-- $7 bytea[]: their envelopes
-- $8 interval: for how long the relays leave the messages to the caller
-- returns nothing
with accepted as (
  select a.id, a.goal, a.lane, a.asked_arm, a.actor, a.queue, a.envelope
  from unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[]
  ) as a (id, goal, lane, asked_arm, actor, queue, envelope)
), added as (
  insert into tasks (task_id, goal, lane, asked_arm)
  select id, goal, lane, asked_arm from accepted order by id
  on conflict (task_id) do nothing
)
insert into outbox (id, actor, queue, lane, envelope, due_at)
select id, actor, queue, lane, envelope, clock_timestamp() + $8::interval from accepted
on conflict (id) do nothing;

-- name: get_tasks
-- $1 uuid[]: which
-- returns a row for each that exists, in any order
select
  task_id, goal, lane, status, arm, result, error, attempts, created_at, started_at, finished_at,
  asked_arm
from tasks
where task_id = any($1::uuid[]);

-- name: count_queued_tasks
-- How many tasks wait for their plan, by lane; those that name their arm wait in Redis.
-- returns a row for each lane in which some do: the lane and how many
select lane, count(*)::int4 as queued from tasks
where finished_at is null and status = 'queued' and asked_arm is null
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

-- name: look_after_direct_tasks
-- Takes unfinished rows of tasks that name their arm and whose message is not in the outbox, and
-- stamps them as looked after; whoever gets a row here looks whether its message is still there.
-- Calls at the same time never get the same row.
-- $1 interval: how long ago their message was last sent or looked for, at least
-- $2 int4: how many at most
-- returns for each its id, goal, lane and arm, in any order
with due as (
  select task_id from tasks
  where finished_at is null and asked_arm is not null and queued_at < now() - $1::interval
    and not exists (select from outbox where outbox.id = tasks.task_id)
  order by queued_at
  limit $2
  for update skip locked
)
update tasks set queued_at = now() from due where tasks.task_id = due.task_id
returning tasks.task_id, tasks.goal, tasks.lane, tasks.asked_arm;
