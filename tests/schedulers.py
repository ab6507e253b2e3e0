"""Schedulers of several processes on one memory store and one fake clock."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import octoqueue
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.maintenance.scheduler import Scheduler
from octoqueue.primitives.envelope import decode_body
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.running import WatchedStore, broker_on, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.primitives.clock import Clock

SECOND_MS = 1_000
BEGIN_MS = 1_000_000_000
OPTIONS = LaneOptions(partitions=1, default_bounds=LaneBounds(high=2, normal=10_000, low=2))


class SkewedClock:
    """A machine whose clock goes wrong by a constant."""

    def __init__(self, clock: FakeClock, skew_ms: int) -> None:
        self._clock = clock
        self.skew_ms = skew_ms

    def now_ms(self) -> int:
        return self._clock.now_ms() + self.skew_ms

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


class Fleet:
    """Schedulers of several processes on one store."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - what `periodic` takes
        self.clock = FakeClock(BEGIN_MS)
        self.inner = MemoryLaneStore(OPTIONS, clock=self.clock)
        self.store = WatchedStore(self.inner)
        self.actor_options: dict[str, Any] = {}
        self.options: dict[str, Any] = {"every": timedelta(seconds=1)} | options

    @asynccontextmanager
    async def scheduler(self, clock: Clock | None = None) -> AsyncGenerator[Scheduler]:
        """Another process."""
        broker = broker_on(self.store)

        async def report() -> None: ...

        declare: Any = octoqueue.actor(broker=broker, **self.actor_options)
        octoqueue.periodic(**self.options)(declare(report))
        scheduler = Scheduler(broker, clock=clock or self.clock)
        begun = len(self.store.called("last_tick"))
        await scheduler.start()
        await until(lambda: len(self.store.called("last_tick")) > begun)
        await self.breathe()
        try:
            yield scheduler
        finally:
            await scheduler.stop()
            await scheduler.stop()

    async def breathe(self) -> None:
        for _ in range(40):
            await asyncio.sleep(0)

    async def pass_time(self, milliseconds: int, *, step_ms: int = 100) -> None:
        for _ in range(milliseconds // step_ms):
            self.clock.advance(step_ms)
            await self.breathe()

    def ticks(self) -> list[int]:
        """The ticks whose messages wait, in seconds since the beginning."""
        found = [m for lane in self.inner._queue("default").ready.values() for m in lane]
        scheduled = [decode_body(payload).options["scheduled_for"] for payload in found]
        return [(tick - BEGIN_MS) // SECOND_MS for tick in scheduled]

    def elapsed_seconds(self) -> int:
        """How many ticks there were since the beginning."""
        return (self.clock.now_ms() - BEGIN_MS) // SECOND_MS
