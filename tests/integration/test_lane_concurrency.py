"""Producers, workers that die, and upkeep, all at once on a real server and its own clock."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.envelope import unpack_header
from octoqueue.primitives.lane import LANES
from octoqueue.primitives.messages import Outcome, SessionId
from octoqueue.redis.client import RedisClient
from tests.contract.world import ack, fresh_namespace, message, retry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import Enqueue, Lease, Settlement

COUNT = 300
QUEUES = ("coder", "judge")
LEASE = timedelta(seconds=1)
WIDE = LaneBounds(high=10_000, normal=10_000, low=10_000)


class Fleet:
    """Producers, workers and upkeep on their own connections, and what they know was done."""

    def __init__(self, url: str, *, per_partition: bool) -> None:
        self.rng = random.Random(7)
        self.names = itertools.count()
        self.accepted: set[MessageId] = set()
        self.acks: Counter[MessageId] = Counter()
        self.complete = asyncio.Event()
        options = LaneOptions(namespace=fresh_namespace(), lease=LEASE, default_bounds=WIDE)
        self.stores = [
            RedisLaneStore(RedisClient(url), options, per_partition=per_partition) for _ in range(3)
        ]

    async def produce(self, store: LaneStore) -> None:
        for _ in range(COUNT // 30):
            group = [self.new_message() for _ in range(10)]
            assert await store.enqueue([[one] for one in group]) == [None] * 10
            self.accepted.update(one.message_id for one in group)

    def new_message(self) -> Enqueue:
        return message(lane=self.rng.choice(LANES), delay_ms=self.rng.choice((0, 0, 0, 20)))

    async def work(self, store: LaneStore) -> None:
        while True:
            await self.live_and_die(store, SessionId(f"worker-{next(self.names)}"))

    async def live_and_die(self, store: LaneStore, session: SessionId) -> None:
        """Work until it dies with all it holds, as `kill -9` would have it."""
        mortal = self.rng.random() < 0.7
        while True:
            leases = await store.claim(session, QUEUES, limit=self.rng.randint(1, 12))
            if not leases:
                await store.wait_for_bell(QUEUES, timeout=LEASE / 4)
            await store.extend(session)
            if not leases:
                continue
            if mortal and self.rng.random() < 0.15:
                return
            ends = [self.ending(lease) for lease in leases]
            for end in ends:
                self.accepted.update(child.message_id for child in end.follow_ups)
            refusals = await store.commit(session, settlements=ends)
            assert not refusals.tokens, "a live session has lost a lease"
            self.count(ends)

    def ending(self, lease: Lease) -> Settlement:
        if self.rng.random() < 0.1 and unpack_header(lease.payload).attempt < 3:
            return retry(lease, delay_ms=self.rng.choice((0, 5)))
        if lease.queue == "coder":
            return ack(lease, message(queue="judge", beside=lease.message_id))
        return ack(lease)

    def count(self, ends: Sequence[Settlement]) -> None:
        for end in ends:
            if end.outcome is Outcome.ACK:
                self.acks[end.lease.message_id] += 1
        if len(self.acks) == len(self.accepted) == COUNT * 2:
            self.complete.set()

    async def keep_tidy(self, store: LaneStore) -> None:
        while True:
            await store.reclaim()
            for queue in QUEUES:
                await store.promote(queue)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("per_partition", [False, True])
async def test_every_message_is_acked_once_whoever_dies(
    redis_url: str,
    per_partition: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    fleet = Fleet(redis_url, per_partition=per_partition)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        tasks = [group.create_task(fleet.work(store)) for store in fleet.stores * 2]
        tasks += [group.create_task(fleet.keep_tidy(store)) for store in fleet.stores[:2]]
        await asyncio.gather(*(fleet.produce(store) for store in fleet.stores))
        await fleet.complete.wait()
        for task in tasks:
            task.cancel()
    assert set(fleet.acks) == fleet.accepted
    assert set(fleet.acks.values()) == {1}
    told = [await fleet.stores[0].stats(queue) for queue in QUEUES]
    for stats in told:
        assert (stats.waiting, stats.delayed, stats.in_flight, stats.dead) == (0, 0, 0, 0)
    assert any(stats.counters.get("reclaimed") for stats in told)
    for store in fleet.stores:
        await store.aclose()
