"""Redis gone, hanging, back: every verb says so in bounded time, and nothing accepted is lost."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pytest

from octoqueue.errors import StoreUnavailable
from octoqueue.lanes.options import LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.messages import Lease, LeaseToken
from octoqueue.redis.client import RedisClient
from tests.contract.redis_processes import running_redis
from tests.contract.redis_worlds import redis_world
from tests.contract.world import (
    SOON,
    A,
    World,
    ack,
    ids,
    message,
    messages,
    release,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
    from pathlib import Path

    from tests.contract.redis_processes import RedisProcess

T = TypeVar("T")
TIMEOUT = timedelta(milliseconds=300)

NOTHING = Lease("coder", 0, LeaseToken(bytes(20)), message().payload)

VERBS: dict[str, Callable[[World], Coroutine[object, object, object]]] = {
    "enqueue": lambda world: world.store.enqueue([[message()]]),
    "claim": lambda world: world.store.claim(A, ["coder"], limit=1),
    "commit": lambda world: world.store.commit(A, acks=[NOTHING]),
    "held": lambda world: world.store.held(A, ["coder"]),
    "extend": lambda world: world.store.extend(A),
    "retire": lambda world: world.store.retire(A),
    "wait_for_bell": lambda world: world.store.wait_for_bell(["coder"], timeout=TIMEOUT),
    "ring": lambda world: world.store.ring(["coder"]),
    "promote": lambda world: world.store.promote("coder"),
    "reclaim": lambda world: world.store.reclaim(),
    "stats": lambda world: world.store.stats("coder"),
    "queues": lambda world: world.store.queues(),
    "result": lambda world: world.store.result(NOTHING.message_id),
    "wait_for_result": lambda world: world.store.wait_for_result(NOTHING.message_id, timeout=SOON),
    "dead_letters": lambda world: world.store.dead_letters("coder"),
    "flush": lambda world: world.store.flush("coder"),
}


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisProcess]:
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture(params=[True, False], ids=["pipelined", "through redis-py"])
async def world(own_redis: RedisProcess, request: pytest.FixtureRequest) -> AsyncGenerator[World]:
    client = RedisClient(own_redis.url, timeout=TIMEOUT, pipelining=request.param)
    world = redis_world(client)
    yield world
    await world.store.aclose()


@pytest.mark.parametrize("warm", [True, False], ids=["connected", "never connected"])
async def test_every_verb_says_that_a_dead_server_is_gone_and_works_again(
    world: World,
    own_redis: RedisProcess,
    warm: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    if warm:
        await asyncio.gather(*(verb(world) for name, verb in VERBS.items() if "wait" not in name))
    own_redis.kill()
    for name, verb in VERBS.items():
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await verb(world)
        assert time.monotonic() - began < 3, name
    own_redis.start()
    for name, verb in VERBS.items():
        if name != "wait_for_result":
            await verb(world)


async def test_a_server_that_hangs_is_given_up_within_the_timeout(
    world: World, own_redis: RedisProcess
) -> None:
    await world.put(message())
    own_redis.send(signal.SIGSTOP)
    try:
        for name in ("enqueue", "claim", "commit", "stats", "extend"):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await VERBS[name](world)
            assert time.monotonic() - began < 3, name
    finally:
        own_redis.send(signal.SIGCONT)
    for name in ("enqueue", "claim", "stats", "extend"):
        await VERBS[name](world)


async def test_what_was_accepted_is_there_after_a_crash_of_the_server(
    world: World, own_redis: RedisProcess
) -> None:
    sent = messages(20)
    await world.put(*sent)
    leases = await world.claim(10)
    await world.store.commit(A, acks=leases[:5])
    await restart(own_redis)
    stats = await world.store.stats("coder")
    assert (stats.waiting, stats.in_flight) == (10, 5)
    assert (await world.store.commit(A, acks=leases)).acks == 5
    rest = await world.claim(20)
    assert sorted(ids(leases) + ids(rest)) == sorted(ids(sent))


async def test_a_waiter_for_a_result_outlives_a_restart(
    world: World, own_redis: RedisProcess
) -> None:
    await world.put(*messages(30))
    leases = await world.claim(30)
    waiters = [
        asyncio.create_task(world.store.wait_for_result(lease.message_id, timeout=SOON))
        for lease in leases
    ]
    await subscribed(own_redis, 30)
    await restart(own_redis)
    await world.settle(*(ack(lease, result=bytes(lease.message_id)) for lease in leases))
    assert await asyncio.gather(*waiters) == ids(leases)


async def test_a_result_that_came_while_nobody_listened_is_found_afterwards(
    world: World, own_redis: RedisProcess
) -> None:
    await world.put(message())
    (lease,) = await world.claim()
    waiter = asyncio.create_task(world.store.wait_for_result(lease.message_id, timeout=SOON))
    await subscribed(own_redis, 1)
    own_redis.drop([client for client in own_redis.clients() if "P" in client["flags"]])
    await world.settle(ack(lease, result=b"42"))
    assert await waiter == b"42"


async def restart(server: RedisProcess) -> None:
    server.kill()
    await asyncio.to_thread(server.start)


async def subscribed(server: RedisProcess, channels: int) -> None:
    await until(lambda: len(server.ask("PUBSUB", "CHANNELS")) >= channels)


async def test_a_wait_that_begins_while_the_server_is_gone_says_so(
    world: World, own_redis: RedisProcess
) -> None:
    own_redis.kill()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await world.store.wait_for_result(new_message_id(), timeout=SOON)
    own_redis.start()
    await world.put(message())
    (lease,) = await world.claim()
    await world.settle(ack(lease, result=b"42"))
    assert await world.store.wait_for_result(lease.message_id, timeout=SOON) == b"42"


async def test_who_waits_for_work_is_told_when_the_server_dies(
    world: World, own_redis: RedisProcess
) -> None:
    waiter = asyncio.create_task(world.store.wait_for_bell(["coder"], timeout=SOON))
    await until(lambda: any(client["cmd"] == "blpop" for client in own_redis.clients()))
    own_redis.kill()
    with pytest.raises(StoreUnavailable):
        await waiter


def more_than(count: int, done: list[bytes]) -> bool:
    return len(done) > count


async def test_work_goes_on_by_itself_over_outages(own_redis: RedisProcess) -> None:
    """Workers with real leases, a server that dies three times: every message is acked once."""
    options = LaneOptions(lease=timedelta(seconds=1), namespace="outages")
    store = RedisLaneStore(RedisClient(own_redis.url, timeout=TIMEOUT), options)
    sent = messages(300)
    assert await store.enqueue([sent]) == [None]
    done: list[bytes] = []

    async def persist(call: Callable[[], Coroutine[object, object, T]]) -> T:
        while True:
            with contextlib.suppress(StoreUnavailable):
                return await call()
            await asyncio.sleep(0.01)

    async def work() -> None:
        while len(done) < 300:
            await persist(lambda: store.claim(A, ["coder"], limit=7))
            # Whatever became of the answer, what was claimed is held.
            leases = await persist(lambda: store.held(A, ["coder"]))
            await persist(partial(store.commit, A, acks=leases))
            done.extend(ids(leases))

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(work())
        for done_before in (50, 120, 200):
            await until(partial(more_than, done_before, done))
            own_redis.kill()
            await asyncio.to_thread(own_redis.start)
    stats = await store.stats("coder")
    assert (stats.waiting, stats.in_flight, stats.counters["acked"]) == (0, 0, 300)
    assert len(done) == len(set(done))
    await store.aclose()


async def test_released_messages_survive_a_lost_connection(
    world: World, own_redis: RedisProcess
) -> None:
    await world.put(*messages(3))
    leases = await world.claim()
    await asyncio.to_thread(own_redis.drop, own_redis.clients())
    await world.settle(*(release(lease) for lease in leases))
    assert await world.depth() == (0, 3, 0)
