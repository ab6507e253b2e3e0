"""What of the signals cannot be read: an error for a number, a gap for what a worker says."""

from __future__ import annotations

import struct
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import pytest

from octoqueue.errors import StoreProtocolError
from octoqueue.lanes.options import LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.lanes.tallies import TALLY_BYTES
from octoqueue.primitives.messages import SessionId
from octoqueue.redis.calls.signals import MOST_KEYS
from octoqueue.redis.client import RedisClient
from tests.contract.redis_worlds import redis_worlds
from tests.contract.signals import presence, read
from tests.contract.world import LEASE_MS, A, World, fresh_namespace, message, messages

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from octoqueue.redis.scripts import ScriptCall

NOW = timedelta(0)


@pytest.fixture
async def world(redis_url: str) -> AsyncGenerator[World]:
    async with redis_worlds(redis_url) as make:
        yield await make()


@pytest.fixture
async def redis(redis_url: str) -> AsyncGenerator[RedisClient]:
    client = RedisClient(redis_url)
    yield client
    await client.aclose()


def key(world: World, kind: str) -> str:
    return f"{{{world.store.options.namespace}:0}}:{kind}"


@pytest.mark.parametrize("kind", ["coder:tallies", "coder:stats", "coder:high", "workers"])
async def test_a_key_of_another_type_is_an_error_and_not_zero(
    world: World, redis: RedisClient, kind: str
) -> None:
    await world.put(message())
    await redis.command("DEL", key(world, kind))
    await redis.command("XADD", key(world, kind), "*", "a", "1")
    with pytest.raises(StoreProtocolError):
        await read(world)


@pytest.mark.parametrize("field", ["acked", "arrived:1", "wait:1:0", "claimed", "mischief"])
async def test_a_counter_that_is_no_number_is_an_error_that_names_the_queue(
    world: World, redis: RedisClient, field: str
) -> None:
    await world.put(message())
    await redis.command("HSET", key(world, "coder:stats"), field, "many")
    with pytest.raises(StoreProtocolError, match="coder"):
        await read(world)
    with pytest.raises(StoreProtocolError, match="coder"):
        await world.store.arrival_minutes(["coder"])


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"garbage",
        b"{",
        b"[]",
        b'{"name":"a","fleet":"","queues":"coder"}',
        b'{"queues":["coder",1]}',
        b'{"queues":["coder"],"slots":-1}',
        b'{"queues":["coder"],"slots":true}',
        b'{"queues":["coder"],"at_risk_seconds":-1}',
        b'{"queues":["coder"],"is_draining":"no"}',
        b'{"queues":["coder"],"slots":8}',
        b"\xff\xfe{}",
    ],
)
async def test_a_presence_that_cannot_be_read_is_left_out_and_counted(
    world: World, redis: RedisClient, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await world.store.extend(A, presence("good", "coder"))
    bad = SessionId("bad")
    await world.store.extend(bad)
    await redis.command("HSET", key(world, "presences"), bad, struct.pack(">Q", 5) + said)
    reading = await read(world)
    assert [worker.name for worker in reading.workers] == ["good"]
    assert reading.unreadable_presences == 1
    assert caplog.messages == ["presence_unreadable"]
    assert len(reading.queues) == 1


async def test_what_a_newer_worker_says_besides_is_left_out(
    world: World, redis: RedisClient
) -> None:
    await world.store.extend(A, presence("new", "coder"))
    said = await redis.command("HGET", key(world, "presences"), A)
    more = orjson.dumps({**orjson.loads(said[8:]), "mood": "fine"})
    await redis.command("HSET", key(world, "presences"), A, said[:8] + more)
    assert [worker.name for worker in (await read(world)).workers] == ["new"]


async def test_a_presence_is_forgotten_with_its_session(world: World, redis: RedisClient) -> None:
    for number in range(3):
        await world.store.extend(SessionId(f"s{number}"), presence(f"w{number}", "coder"))
    await world.store.retire(SessionId("s0"))
    assert await redis.command("HLEN", key(world, "presences")) == 2
    world.clock.advance(LEASE_MS)
    await world.store.reclaim()
    assert await redis.command("EXISTS", key(world, "presences")) == 0


async def test_a_queue_takes_the_same_memory_whatever_happens_in_it(
    world: World, redis: RedisClient
) -> None:
    for _ in range(30):
        await world.put(*messages(5))
        await world.store.commit(A, acks=await world.claim())
        world.clock.advance(33_333)
    name = key(world, "coder:tallies")
    assert await redis.command("STRLEN", name) == TALLY_BYTES
    assert await redis.command("MEMORY", "USAGE", name) < 60_000
    assert await redis.command("PTTL", name) == -1


async def test_after_the_server_was_emptied_counts_begin_anew(
    world: World, redis: RedisClient
) -> None:
    await world.put(*messages(5))
    await world.claim(3)
    for name in ("coder:stats", "coder:tallies", "workers", "presences"):
        await redis.command("DEL", key(world, name))
    (found,) = (await read(world)).queues
    assert all(lane.arrivals.within(600) == 0 for lane in found.lanes.values())
    await world.put(message())
    (found,) = (await read(world)).queues
    assert sum(lane.arrivals.within(600) for lane in found.lanes.values()) == 1


async def test_counters_that_are_gone_alone_give_no_negative_counts(
    world: World, redis: RedisClient
) -> None:
    await world.put(*messages(5))
    world.clock.advance(2_000)
    await world.put(*messages(5))
    await redis.command("DEL", key(world, "coder:stats"))
    world.clock.advance(2_000)
    await world.put(message())
    (found,) = (await read(world)).queues
    counts = [count for lane in found.lanes.values() for count in lane.arrivals.counts]
    assert min(counts) >= 0
    assert max(counts) == 1


async def test_a_reading_is_one_round_trip_that_never_holds_the_server_up(
    redis_url: str,
) -> None:
    sizes = list[int]()

    class Watched(RedisClient):
        async def call_each(self, calls: Sequence[ScriptCall]) -> list[object]:
            assert {call.script.name for call in calls} == {"signals"}
            sizes.extend(len(call.keys) for call in calls)
            return await super().call_each(calls)

    store = RedisLaneStore(Watched(redis_url), LaneOptions(namespace=fresh_namespace()))
    try:
        await store.read_signals(["coder", "judge", "planner"], due_within=NOW, fleet="arms")
        assert len(sizes) == 1
        names = [f"queue-{number}" for number in range(100)]
        await store.enqueue([[message(queue=name)] for name in names])
        reading = await store.read_signals(names, due_within=NOW)
        assert [queue.queue for queue in reading.queues] == names
        assert {queue.waiting for queue in reading.queues} == {1}
        assert max(sizes) <= MOST_KEYS + 4
        assert len(sizes) > 2
    finally:
        await store.aclose()


async def test_minutes_of_many_queues_are_those_of_each(world: World) -> None:
    names = [f"queue-{number}" for number in range(60)]
    for number, name in enumerate(names):
        await world.store.enqueue([[message(queue=name)] for _ in range(number % 7)])
    world.clock.advance(60_000)
    told = await world.store.arrival_minutes(names)
    arrived = Counter[str]()
    for minute in told:
        arrived[minute.queue] += sum(lane.arrivals for lane in minute.lanes.values())
    assert [arrived[name] for name in names] == [number % 7 for number in range(60)]


async def test_any_number_of_workers_is_told(world: World, redis: RedisClient) -> None:
    await world.store.extend(A, presence("first", "coder"))
    text = await redis.command("HGET", key(world, "presences"), A)
    until_ms, sessions = world.clock.now_ms() + 1, [f"s{number}" for number in range(10_500)]
    for first in range(0, len(sessions), 500):
        part = sessions[first : first + 500]
        fields = [word for session in part for word in (session, text)]
        await redis.command("HSET", key(world, "presences"), *fields)
        scores = [word for session in part for word in (until_ms, session)]
        await redis.command("ZADD", key(world, "workers"), *scores)
    assert len((await read(world)).workers) == 10_501
    assert (await read(world, "judge")).workers == ()
