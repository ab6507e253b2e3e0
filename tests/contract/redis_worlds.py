"""Worlds on real Redis servers."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.redis.client import RedisClient
from octoqueue.redis.keys import Keys
from octoqueue.routing.partitions import PartitionMap
from octoqueue.testing.fake_clock import FakeClock
from tests.contract.world import NOBODY, OPTIONS, World, fresh_namespace

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.lanes.options import LaneOptions
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.lane import Lane
    from tests.contract.world import MakesStores


@contextlib.asynccontextmanager
async def redis_worlds(
    url: str,
    *,
    cluster: bool = False,
    per_partition: bool | None = None,
    pipelining: bool = True,
) -> AsyncGenerator[MakesStores]:
    """A maker of worlds on the Redis at `url`, each in a namespace of its own."""
    async with contextlib.AsyncExitStack() as opened:

        async def make(options: LaneOptions = OPTIONS) -> World:
            client = RedisClient(url, cluster=cluster, pipelining=pipelining)
            world = redis_world(client, options, per_partition=per_partition)
            opened.push_async_callback(world.store.aclose)
            return world

        yield make


def redis_world(
    client: RedisClient, options: LaneOptions = OPTIONS, *, per_partition: bool | None = None
) -> World:
    clock = FakeClock()
    options = replace(options, namespace=fresh_namespace())
    keys, partitions = Keys(options.namespace), PartitionMap(options.partitions)
    store = RedisLaneStore(client, options, per_partition=per_partition, now_ms=clock.now_ms)

    async def inject(queue: str, lane: Lane, *payloads: bytes, beside: MessageId = NOBODY) -> None:
        await store.ring([queue])
        await client.command("RPUSH", keys.lane(partitions.of_id(beside), queue, lane), *payloads)

    async def inject_delayed(queue: str, due_ms: int, payload: bytes) -> None:
        await client.command("ZADD", keys.delayed(0, queue), due_ms, payload)

    return World(store, clock, inject, inject_delayed)
