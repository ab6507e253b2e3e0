-- Messages that were enqueued inside a transaction and are not in Redis yet.
create table outbox (
  -- the message's id; the store knows it again when the row is relayed twice
  id uuid primary key,
  actor text not null,
  -- null: the actor's own, as the relay knows it
  queue text,
  lane text,
  -- what waits behind each other: when one meets a full lane, so would the others
  line text not null generated always as (coalesce(queue || ':' || lane, '@' || actor)) stored,
  -- as the store takes it, when a Python program wrote the row
  envelope bytea,
  -- args, kwargs and options, when octoqueue_enqueue() did
  call jsonb,
  -- not to run before
  eta timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  -- not to be relayed before
  due_at timestamptz not null default clock_timestamp(),
  -- how often the store refused it
  attempts integer not null default 0,
  last_error text,
  -- it can never be enqueued as it is; nothing tries until somebody says so
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
-- every row is inserted and deleted, most within milliseconds
with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- For the relay: each line by itself, the oldest first.
create index outbox_pending on outbox (line, due_at, id) where failed_at is null;

create index outbox_failed on outbox (failed_at) where failed_at is not null;

-- A time-ordered id (RFC 9562, version 7): 48 bits of milliseconds in front of a random uuid.
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

-- Enqueues a message in the caller's transaction, from any language. Returns its id.
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
