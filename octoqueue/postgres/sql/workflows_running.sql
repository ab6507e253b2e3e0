-- What orchestrators do with the executions they hold. Owner: octoqueue.workflows.postgres_running.

-- name: write_turns
-- One round of turns; octoqueue_write_turns_v1 says what it does.
-- $1 uuid: who writes
-- $2 int4[]: the partitions of the turns
-- $3 int8[]: the epochs at which they are held
-- $4 uuid[]: the executions, first those that move
-- $5 int4[]: their partitions
-- $6 text[]: where those move to
-- $7 bool[]: whether they have run
-- $8 bool[]: whether they must have begun before
-- $9 json[]: their outputs
-- $10 json[]: their errors
-- $11 int4[]: the execution of each step, as its place in $4, from 1; so are all "of" below
-- $12 text[]: the steps' keys
-- $13 text[]: their kinds
-- $14 text[]: their names
-- $15 bytea[]: their digests
-- $16 text[]: their statuses
-- $17 int4[]: their places among those that ended
-- $18 json[]: their inputs
-- $19 json[]: their outputs
-- $20 json[]: their errors
-- $21 uuid[]: their messages
-- $22 uuid[]: their children
-- $23 int8[]: when they are due
-- $24 int8[]: when they began
-- $25 int8[]: when they ended
-- $26 int4[]: how often they were tried
-- $27 int4[]: timers that begin: of
-- $28 text[]: their steps
-- $29 int8[]: when they are due
-- $30 int4[]: timers that end: of
-- $31 text[]: their steps
-- $32 int4[]: signals that are taken or refused: of
-- $33 uuid[]: their ids
-- $34 json[]: why they are refused
-- $35 int4[]: executions that begin: of
-- $36 bool[]: whether they continue it, or are children
-- $37 text[]: their workflows
-- $38 uuid[]: their ids
-- $39 text[]: their names
-- $40 int4[]: their versions
-- $41 int4[]: their numbers
-- $42 json[]: their inputs
-- $43 bytea[]: the digests of the inputs
-- $44 text[]: their lanes
-- $45 text[]: their tenants
-- $46 text[]: their complexities
-- $47 jsonb[]: the signals they declare
-- $48 int8[]: their deadlines
-- $49 uuid[]: who waits for them
-- $50 text[]: at which steps
-- $51 json[]: what is told when their ids are taken
-- returns the partitions that are not held
select octoqueue_write_turns_v1(
  $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
  $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40,
  $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51
) as lost;

-- name: get_steps
-- $1 uuid[]: the executions
-- returns their steps: those that ended by their order, then those pending by their key
select
  s.execution_id::text,
  s.key, s.kind, s.name, s.digest, s.status, s.ordinal, s.input, s.output, s.error, s.message_id,
  s.child_id::text, s.due_at_ms, s.began_at_ms, s.ended_at_ms, s.attempts
from unnest($1::uuid[]) with ordinality as wanted (id, n)
  join workflow_steps s on s.execution_id = wanted.id
order by wanted.n, s.status = 'pending', s.ordinal, s.key;

-- name: get_signals
-- $1 uuid[]: the executions
-- returns the signals that wait for each, oldest first
select
  s.execution_id::text, s.signal_id::text, s.kind, s.name, s.value, s.sent_at_ms
from unnest($1::uuid[]) with ordinality as wanted (id, n)
  join workflow_signals s on s.execution_id = wanted.id
where s.state = 'waiting'
order by wanted.n, s.sent_at_ms, s.signal_id;

-- name: list_open_executions
-- $1 int4: the partition
-- $2 uuid: only those after this one
-- $3 int4: how many at most
-- returns those that are queued, and those with signals nobody has taken, oldest first
select found.id::text as execution_id
from (
  (
    select execution_id as id from workflow_executions
    where partition = $1 and status = 'queued' and finished_at is null and execution_id > $2
    order by execution_id limit $3
  )
  union
  (
    select distinct execution_id as id from workflow_signals
    where partition = $1 and state = 'waiting' and execution_id > $2
    order by execution_id limit $3
  )
) as found
order by found.id
limit $3;

-- name: list_pending_calls
-- $1 int4: the partition
-- $2 uuid: only those after the step $3 of this execution
-- $3 text: the key
-- $4 int4: how many at most
-- returns pending calls and runs, by execution and key, each with its execution
select
  e.execution_id::text, e.workflow_id, e.partition, e.name, e.version, e.run, e.status, e.input,
  e.output, e.error, e.lane, e.user_id, e.complexity, e.signals, e.deadline_at_ms,
  e.parent_execution_id::text, e.parent_step, e.created_at, e.started_at, e.finished_at,
  s.key, s.kind, s.name, s.digest, s.status, s.ordinal, s.input, s.output, s.error, s.message_id,
  s.child_id::text, s.due_at_ms, s.began_at_ms, s.ended_at_ms, s.attempts
from (
  select * from workflow_executions
  where partition = $1 and status = 'running' and finished_at is null and execution_id >= $2
  union all
  select * from workflow_executions
  where partition = $1 and status = 'blocked' and finished_at is null and execution_id >= $2
) as e
  join workflow_steps s on s.execution_id = e.execution_id
where s.status = 'pending' and s.kind in ('call', 'run') and (e.execution_id > $2 or s.key > $3)
order by e.execution_id, s.key
limit $4;

-- name: list_timers
-- $1 int4[]: the partitions
-- $2 int8: due until when
-- $3 int4: how many at most
-- returns what is due, soonest first
select t.partition, t.execution_id::text, t.step, t.due_at_ms
from unnest($1::int4[]) as p (partition)
  cross join lateral (
    select * from workflow_timers
    where workflow_timers.partition = p.partition and due_at_ms <= $2
    order by due_at_ms, execution_id, step
    limit $3
  ) as t
order by t.due_at_ms, t.execution_id, t.step
limit $3;

-- name: list_blocked
-- $1 int4: the partition
-- $2 text[]: the names of the functions
-- $3 uuid: only those after this one
-- $4 int4: how many at most
-- returns blocked executions, oldest first
select e.execution_id::text
from workflow_executions e
where e.partition = $1 and e.status = 'blocked' and e.finished_at is null
  and e.name = any($2::text[]) and e.execution_id > $3
order by e.execution_id
limit $4;
