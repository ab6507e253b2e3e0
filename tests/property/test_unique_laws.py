"""Laws of unique keys, of cancelling and of moving, on memory and on Redis.

At most one message holds a key, a duplicate always names it, no lock outlives its message, what was
cancelled never starts, and nothing is lost or doubled by a move.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.redis.client import RedisClient
from octoqueue.redis.keys import Keys
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.contract.world import fresh_namespace
from tests.property.life_machine import OPTIONS, LifeMachine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.testing.fake_clock import FakeClock

    Made = tuple[LaneStore, Callable[[], Awaitable[Sequence[int]]]]

TABLES = ("unique", "unique:expiry", "cancelled", "cancelled:expiry")


def run(machine: type[LifeMachine], *, examples: int, steps: int = 40) -> None:
    with asyncio.Runner() as runner:
        machine.runner = runner
        run_state_machine_as_test(
            machine, settings=settings(max_examples=examples, stateful_step_count=steps)
        )


def on_redis(client: RedisClient, clock: FakeClock, *, per_partition: bool = False) -> Made:
    options = replace(OPTIONS, namespace=fresh_namespace())
    keys = Keys(options.namespace)

    async def tables() -> list[int]:
        names = [keys.at_home(p, kind) for p in range(options.partitions) for kind in TABLES]
        return [await client.command("EXISTS", name) for name in names]

    store = RedisLaneStore(client, options, per_partition=per_partition, now_ms=clock.now_ms)
    return store, tables


def test_the_memory_store_keeps_the_laws() -> None:
    class Machine(LifeMachine):
        def make(self, clock: FakeClock) -> Made:
            store = MemoryLaneStore(OPTIONS, clock=clock)

            async def tables() -> list[int]:
                return [len(store._unique), len(store._tombstones)]

            return store, tables

    run(Machine, examples=60)


def test_redis_keeps_the_laws(redis_url: str) -> None:
    client = RedisClient(redis_url)

    class Machine(LifeMachine):
        def make(self, clock: FakeClock) -> Made:
            return on_redis(client, clock)

    run(Machine, examples=40)


def test_redis_keeps_the_laws_one_script_a_partition(redis_url: str) -> None:
    client = RedisClient(redis_url)

    class Machine(LifeMachine):
        whole = False

        def make(self, clock: FakeClock) -> Made:
            return on_redis(client, clock, per_partition=True)

    run(Machine, examples=15)
