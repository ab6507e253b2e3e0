"""What an HTTP edge says of itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import StoreUnavailable
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from workers.reflex.presence import FLEET, EdgePresence

if TYPE_CHECKING:
    from octoqueue.primitives.messages import SessionId
    from octoqueue.primitives.signals import Presence

NOW = timedelta(0)


def test_the_rate_is_that_of_the_last_minute() -> None:
    clock, answered = FakeClock(), [0]
    presence = EdgePresence(MemoryLaneStore, lambda: answered[0], clock=clock)
    assert presence.requests_per_second() == 0
    for _ in range(10):
        clock.advance(10_000)
        answered[0] += 50
        assert presence.requests_per_second() == 5
    for left in range(5, -1, -1):
        clock.advance(10_000)
        assert round(presence.requests_per_second(), 6) == round(5 * left / 6, 6)


async def test_it_is_told_as_a_worker_of_its_fleet_until_it_ends() -> None:
    clock, answered = FakeClock(), [0]
    store = MemoryLaneStore(clock=clock)
    presence = EdgePresence(lambda: store, lambda: answered[0], clock=clock)
    saying = asyncio.create_task(presence.run())
    await asyncio.sleep(0)
    answered[0] = 200
    clock.advance(store.options.lease / 4)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    (edge,) = (await store.read_signals([], due_within=NOW, fleet=FLEET)).workers
    expected = 200 / (store.options.lease.total_seconds() / 4)
    assert (edge.requests_per_second, edge.slots, edge.is_ready) == (expected, 0, True)
    saying.cancel()
    await asyncio.gather(saying, return_exceptions=True)
    assert (await store.read_signals([], due_within=NOW, fleet=FLEET)).workers == ()


async def test_a_store_that_is_gone_for_a_while_ends_nothing() -> None:
    class Shaky(MemoryLaneStore):
        calls = 0

        async def extend(self, session: SessionId, presence: Presence | None = None) -> bool:
            self.calls += 1
            if self.calls == 1:
                raise StoreUnavailable("Redis", reason="it is gone")
            return await super().extend(session, presence)

    clock = FakeClock()
    store = Shaky(clock=clock)
    saying = asyncio.create_task(EdgePresence(lambda: store, lambda: 0, clock=clock).run())
    await asyncio.sleep(0)
    clock.advance(store.options.lease / 4)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len((await store.read_signals([], due_within=NOW, fleet=FLEET)).workers) == 1
    saying.cancel()
    await asyncio.gather(saying, return_exceptions=True)
