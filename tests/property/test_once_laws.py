"""Relays that die, are held up, and read the same rows: one message results of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octoqueue.errors import SentTooLate
from octoqueue.lanes.options import LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.envelope import Header, pack_header
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue, SessionId
from octoqueue.primitives.once import SEND_WITHIN, Once
from octoqueue.redis.client import RedisClient
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore

if TYPE_CHECKING:
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.ids import MessageId

SESSION = SessionId("w")
LEASE = timedelta(days=400)
MILLISECOND = timedelta(milliseconds=1)

RELAY_STEPS = ("read", "send", "delete", "die", "relay", "relay")

steps = st.lists(
    st.one_of(
        st.just(("write", 0)),
        st.just(("run", 0)),
        st.tuples(st.sampled_from(RELAY_STEPS), st.integers(0, 2)),
        st.tuples(st.just("pass"), st.sampled_from([1, 9, 14, 16, 30, 61, 3_600])),
    ),
    max_size=60,
)


@dataclass
class Relay:
    """What one relay knows; nothing keeps it from reading rows that another has read."""

    once: Once | None = None
    read: list[Enqueue] = field(default_factory=list)
    sent: list[Enqueue] = field(default_factory=list)
    settled: tuple[MessageId, ...] = ()


class History:
    """A table, a store, three relays, and how often each message ran."""

    def __init__(self, store: LaneStore, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.table: dict[MessageId, Enqueue] = {}
        self.written = 0
        self.ran = Counter[bytes]()
        self.relays = [Relay() for _ in range(3)]

    async def step(self, name: str, number: int) -> None:
        match name:
            case "write":
                self.write()
            case "run":
                await self.run()
            case "pass":
                self.clock.advance(number * 1000)
            case "die":
                self.relays[number] = Relay()
            case _:
                await getattr(self, name)(self.relays[number])

    def write(self) -> None:
        ident = new_message_id()
        payload = pack_header(Header(ident, Lane.NORMAL)) + b"{}"
        self.table[ident] = Enqueue(queue="q", lane=Lane.NORMAL, payload=payload)
        self.written += 1

    async def read(self, relay: Relay) -> None:
        not_after_ms = await self.store.now_ms() + SEND_WITHIN // MILLISECOND
        relay.once = Once(not_after_ms=not_after_ms, settled=relay.settled)
        relay.read, relay.sent = list(self.table.values()), []

    async def send(self, relay: Relay) -> None:
        if relay.once is not None:
            with suppress(SentTooLate):
                refusals = await self.store.enqueue_once(relay.read, relay.once)
                assert refusals == [None] * len(relay.read)
                relay.sent = relay.read

    async def delete(self, relay: Relay) -> None:
        for message in relay.sent:
            self.table.pop(message.message_id, None)
        relay.settled = tuple(message.message_id for message in relay.sent)
        relay.once, relay.read, relay.sent = None, [], []

    async def relay(self, relay: Relay) -> None:
        """Do all of it twice, so that the second call settles what the first one sent."""
        for _ in range(2):
            await self.read(relay)
            await self.send(relay)
            await self.delete(relay)

    async def run(self) -> None:
        leases = await self.store.claim(SESSION, ["q"], limit=1_000)
        self.ran.update(lease.message_id for lease in leases)
        await self.store.commit(SESSION, acks=leases)

    async def check(self, history: list[tuple[str, int]]) -> None:
        for name, number in history:
            await self.step(name, number)
        await self.relay(Relay())
        await self.run()
        assert not self.table
        stats = await self.store.stats("q")
        assert (stats.counters.get("enqueued", 0), stats.waiting) == (self.written, 0)
        assert len(self.ran) == self.written
        assert set(self.ran.values()) <= {1}


@settings(max_examples=300)
@given(history=steps)
def test_one_message_results_of_each_row_in_memory(history: list[tuple[str, int]]) -> None:
    clock = FakeClock()
    store = MemoryLaneStore(LaneOptions(lease=LEASE), clock=clock)
    asyncio.run(History(store, clock).check(history))


@pytest.mark.parametrize("per_partition", [False, True])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=steps)
def test_one_message_results_of_each_row_in_redis(
    redis_url: str, *, per_partition: bool, history: list[tuple[str, int]]
) -> None:
    async def check() -> None:
        clock = FakeClock()
        options = LaneOptions(namespace=f"t{uuid4().hex[:12]}", lease=LEASE, partitions=3)
        store = RedisLaneStore(
            RedisClient(redis_url), options, per_partition=per_partition, now_ms=clock.now_ms
        )
        try:
            await History(store, clock).check(history)
        finally:
            await store.aclose()

    asyncio.run(check())
