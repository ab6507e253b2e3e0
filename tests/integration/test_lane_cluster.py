"""A cluster with more callers than connections, cold, and with a node that dies."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from redis.crc import key_slot

from octoqueue.errors import StoreError, StoreProtocolError, StoreUnavailable
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.redis.client import RedisClient
from octoqueue.redis.keys import Keys
from octoqueue.routing.partitions import PartitionMap
from tests.contract.redis_processes import SLOTS, RedisProcess, cluster_of
from tests.contract.redis_worlds import redis_world
from tests.contract.world import (
    AT_ONCE,
    LEASE_MS,
    SOON,
    A,
    World,
    ack,
    message,
    messages,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from octoqueue.primitives.ids import MessageId

PARTITIONS = PartitionMap(10)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisProcess]]:
    settings = ("--cluster-require-full-coverage", "no", "--appendonly", "yes")
    with cluster_of(3, tmp_path_factory.mktemp("c"), settings=settings) as servers:
        yield servers


@pytest.fixture
async def world(nodes: list[RedisProcess]) -> AsyncGenerator[World]:
    client = RedisClient(
        nodes[0].url, cluster=True, pool_size=4, timeout=timedelta(milliseconds=500)
    )
    world = redis_world(client)
    await answered(world)
    yield world
    await world.store.aclose()


async def test_the_first_commands_may_come_all_at_once(nodes: list[RedisProcess]) -> None:
    """Before redis-py knows the slots it sends anywhere, and then closed connections in use."""
    for _ in range(10):
        world = redis_world(RedisClient(nodes[1].url, cluster=True))
        await asyncio.gather(
            *(world.put(one) for one in messages(20)),
            *(world.store.extend(A) for _ in range(5)),
            world.store.wait_for_result(message().message_id, timeout=AT_ONCE),
            world.store.wait_for_bell(["ghost"], timeout=AT_ONCE),
        )
        assert sum(await world.depth()) == 20
        await world.store.aclose()


async def test_more_callers_than_connections_wait_for_each_other(world: World) -> None:
    await asyncio.gather(*(world.put(*messages(3)) for _ in range(30)))
    assert sum(await world.depth()) == 90


def more_than(number: int, waiters: list[asyncio.Task[bool]]) -> bool:
    return sum(waiter.done() for waiter in waiters) > number


async def test_dozens_may_wait_for_work_at_once(world: World) -> None:
    waiters = [
        asyncio.create_task(world.store.wait_for_bell(["coder"], timeout=SOON)) for _ in range(40)
    ]
    for number in range(len(waiters)):
        await world.store.ring(["coder"])
        await until(partial(more_than, number, waiters))
    assert all([await waiter for waiter in waiters])


async def test_a_follow_up_of_another_partition_is_refused_before_anything_happens(
    world: World,
) -> None:
    """The broker gives follow-ups their parent's affinity; whoever does not is told at once."""
    parent, stranger = message(), message()
    while PARTITIONS.of_id(stranger.message_id) == PARTITIONS.of_id(parent.message_id):
        stranger = message()
    await world.put(parent)
    lease = await world.claim_one()
    with pytest.raises(StoreProtocolError, match="slot"):
        await world.store.commit(A, settlements=[ack(lease, stranger)])
    assert await world.store.held(A, ["coder"]) == [lease]


def node_of(key: str) -> int:
    slot = key_slot(key.encode())
    return next(number for number in range(3) if slot < (number + 1) * SLOTS // 3)


@contextmanager
def down(server: RedisProcess) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


async def test_one_node_that_dies_does_not_stop_the_others(
    world: World, nodes: list[RedisProcess]
) -> None:
    assert isinstance(world.store, RedisLaneStore)
    keys = Keys(world.store.options.namespace)
    places = {partition: node_of(keys.workers(partition)) for partition in range(10)}
    common = {node_of(keys.bell("coder")), node_of(keys.queues())}
    victim = next(n for n in range(3) if n in places.values() and n not in common)
    await world.put(*(message(message_id=id_of(partition)) for partition in range(10)))
    leases = {lease.partition: lease for lease in await world.claim()}
    lost = [leases.pop(partition) for partition, place in places.items() if place == victim]
    settled, *acked = leases.values()
    waiter = asyncio.create_task(world.store.wait_for_result(settled.message_id, timeout=SOON))
    with down(nodes[victim]):
        with pytest.raises(StoreUnavailable):
            await world.store.enqueue([[message(message_id=id_of(p))] for p in range(10)])
        assert len(await world.claim()) == len(leases)
        world.clock.advance(LEASE_MS - 1)
        with pytest.raises(StoreUnavailable):
            await world.store.extend(A)
        with pytest.raises(StoreUnavailable):
            await world.store.commit(
                A, acks=[*lost, *acked], settlements=[ack(settled, result=b"1")]
            )
        assert await waiter == b"1"
    world.clock.advance(2)
    await answered(world)
    # What the others hold was renewed or acked; only the dead node's leases have expired.
    assert await world.store.reclaim() == len(lost)
    assert (await world.store.stats("coder")).in_flight == len(leases)


async def answered(world: World) -> None:
    """Wait until the whole cluster answers again."""
    async with asyncio.timeout(20):
        while True:
            try:
                await world.store.stats("coder")
                await world.store.queues()
                await world.store.ring(["nobody"])
            except StoreError:
                await asyncio.sleep(0.02)
            else:
                return


def id_of(partition: int) -> MessageId:
    while True:
        found = message().message_id
        if PARTITIONS.of_id(found) == partition:
            return found


def listens(node: RedisProcess) -> bool:
    return bool(node.ask("PUBSUB", "CHANNELS"))


async def test_results_are_heard_through_another_node_when_one_dies(
    world: World, nodes: list[RedisProcess]
) -> None:
    await world.put(message())
    lease = await world.claim_one()
    waiter = asyncio.create_task(world.store.wait_for_result(lease.message_id, timeout=SOON))
    await until(lambda: any(listens(node) for node in nodes))
    with down(next(node for node in nodes if listens(node))):
        await asyncio.wait([waiter], timeout=0.05)
    await answered(world)
    await world.settle(ack(lease, result=b"1"))
    assert await waiter == b"1"
