from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from octoqueue.lanes.options import LaneBounds
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.lane import Lane
from octoqueue.redis.client import RedisClient
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.contract.world import fresh_namespace
from tests.property.lane_machine import OPTIONS, SESSIONS, LaneMachine, Subject, Wish, subject

if TYPE_CHECKING:
    from octoqueue.lanes.options import LaneOptions
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.testing.fake_clock import FakeClock


def in_memory(options: LaneOptions, clock: FakeClock) -> LaneStore:
    return MemoryLaneStore(options, clock=clock)


class OnRedis:
    """Makes stores on one connection, each in a namespace of its own."""

    def __init__(self, url: str, *, per_partition: bool = False) -> None:
        self.client = RedisClient(url)
        self.per_partition = per_partition

    def __call__(self, options: LaneOptions, clock: FakeClock) -> LaneStore:
        return RedisLaneStore(
            self.client,
            replace(options, namespace=fresh_namespace()),
            per_partition=self.per_partition,
            now_ms=clock.now_ms,
        )


def run(machine: type[LaneMachine], *, examples: int, steps: int = 30) -> None:
    with asyncio.Runner() as runner:
        machine.runner = runner
        run_state_machine_as_test(
            machine, settings=settings(max_examples=examples, stateful_step_count=steps)
        )


def test_the_memory_store_keeps_its_ledger() -> None:
    class Machine(LaneMachine):
        def make(self) -> list[Subject]:
            return [subject(in_memory, OPTIONS)]

    run(Machine, examples=50, steps=40)


def test_memory_and_redis_answer_the_same_in_the_same_order(redis_url: str) -> None:
    """With one partition there is one order, so every answer must be equal."""
    on_redis = OnRedis(redis_url)

    class Machine(LaneMachine):
        def make(self) -> list[Subject]:
            options = replace(OPTIONS, partitions=1)
            return [subject(in_memory, options), subject(on_redis, options)]

    run(Machine, examples=45)


def test_redis_keeps_its_ledger_over_ten_partitions(redis_url: str) -> None:
    on_redis = OnRedis(redis_url)

    class Machine(LaneMachine):
        def make(self) -> list[Subject]:
            return [subject(on_redis, OPTIONS)]

    run(Machine, examples=45)


def test_one_script_a_partition_keeps_its_ledger(redis_url: str) -> None:
    """There a bound is split and a group refused for each partition, so here nothing is full."""
    wide = LaneBounds(high=10_000, normal=10_000, low=10_000)
    options = replace(OPTIONS, partitions=3, default_bounds=wide, delayed_bound=10_000)
    on_redis = OnRedis(redis_url, per_partition=True)

    class Machine(LaneMachine):
        def make(self) -> list[Subject]:
            return [subject(on_redis, options)]

    run(Machine, examples=30)


async def test_the_ledger_knows_the_order_of_what_is_due_in_the_same_millisecond(
    redis_url: str,
) -> None:
    """Some of the messages tell events and some do not: of these the store puts first."""
    on_redis = OnRedis(redis_url)
    store = subject(on_redis, OPTIONS)
    later = [[Wish(queue="coder", lane=Lane.HIGH, delay_ms=400, affinity=0)]] * 4
    await store.enqueue(later)
    await store.advance(400)
    await store.promote("coder")
    await store.claim(SESSIONS[0], ["coder"], 4)
    assert len(store.leases) == len(later)
    await on_redis.client.aclose()
