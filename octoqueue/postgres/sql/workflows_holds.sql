-- Who is there and who holds which partition. Owner: octoqueue.workflows.postgres_holds.
-- Rows of several partitions are locked in the order of their numbers.

-- name: attend_agents
-- Registers an agent or renews its lease.
-- $1 uuid: the agent
-- $2 text: its type
-- $3 text: where it runs
-- $4 interval: its lease
-- returns one row: those of its type that are there, and all partitions with their holders
with me as (
  insert into agents (agent_id, type, host, expires_at) values ($1, $2, $3, now() + $4)
  on conflict (agent_id) do update
  set expires_at = excluded.expires_at, host = excluded.host, status = 'active'
), alive as materialized (
  select agent_id from agents
  where type = $2 and status = 'active' and expires_at > now() and agent_id <> $1
  union all
  select $1
), holds as (
  select p.partition, alive.agent_id as owner, p.epoch
  from workflow_partitions p left join alive on alive.agent_id = p.owner
)
select
  array(select agent_id::text from alive order by agent_id) as agents,
  array(select partition from holds order by partition) as partitions,
  array(select owner::text from holds order by partition) as owners,
  array(select epoch from holds order by partition) as epochs;

-- name: get_holder
-- $1 int4: the partition
-- returns who holds it and is there
select a.agent_id::text, a.type, a.host
from workflow_partitions p join agents a on a.agent_id = p.owner
where p.partition = $1 and a.status = 'active' and a.expires_at > now();

-- name: take_partitions
-- Holds partitions that nobody holds who is there. Waits for writes of the last holder under way.
-- $1 uuid: the agent
-- $2 int4[]: which
-- returns those that were got, with their epochs
insert into workflow_partitions as held (partition, owner, epoch)
select wanted.partition, $1, 1
from unnest($2::int4[]) as wanted (partition)
where exists (
  select from agents where agent_id = $1 and status = 'active' and expires_at > now()
)
order by wanted.partition
on conflict (partition) do update
set
  owner = excluded.owner,
  epoch = case when held.owner = excluded.owner then held.epoch else held.epoch + 1 end,
  taken_at = case when held.owner = excluded.owner then held.taken_at else now() end
where held.owner is null or held.owner = excluded.owner or not exists (
  select from agents
  where agent_id = held.owner and status = 'active' and expires_at > now()
)
returning partition, epoch;

-- name: release_partitions
-- $1 uuid: the agent
-- $2 int4[]: which
-- $3 int8[]: the epochs at which it holds them
-- returns nothing
with held as materialized (
  select p.partition
  from unnest($2::int4[], $3::int8[]) as w (partition, epoch)
    join workflow_partitions p on p.partition = w.partition
  where p.owner = $1 and p.epoch = w.epoch
  order by p.partition
  for update of p
)
update workflow_partitions p set owner = null from held where p.partition = held.partition;

-- name: leave_agents
-- $1 uuid: the agent
-- returns nothing
with gone as (
  update agents set status = 'left', expires_at = now() where agent_id = $1
), held as materialized (
  select partition from workflow_partitions where owner = $1 order by partition for update
)
update workflow_partitions p set owner = null from held where p.partition = held.partition;
