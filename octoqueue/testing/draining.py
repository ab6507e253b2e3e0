"""`Drain`: runs what waits with the worker's own executor, until nothing is ready any more.

It claims like a worker, but knows when to stop: when nothing can be claimed, nothing runs and
nothing is on its way to the store. Time does not pass meanwhile, so what is delayed stays where it
is. Time limits and deadlines of actors are kept by the real clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

from octoqueue.broker.session_keeper import new_session
from octoqueue.broker.steering import is_steering
from octoqueue.errors import DrainEndless, DrainTimeout
from octoqueue.runtime.cancels import Cancels
from octoqueue.runtime.event_sender import EventSender
from octoqueue.runtime.executor import Executor
from octoqueue.runtime.settler import Settler
from octoqueue.testing.report import DrainReport, Ran, ran_from

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.broker.schedules import Periodic
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.messages import Lease, LeaseToken, Settlement
    from octoqueue.runtime.attempt import Attempt
    from octoqueue.testing.kit_store import KitStore

_LOOK_SECONDS = 0.01
"""How long a message that somebody enqueues meanwhile may go unnoticed."""
_GRACE_SECONDS = 0.5


class DrainExecutor(Executor):
    """The worker's executor, which remembers what attempts ended with."""

    errors: dict[LeaseToken, BaseException]

    def _settlement(
        self, attempt: Attempt, result: object, error: BaseException | None
    ) -> Settlement:
        settlement = super()._settlement(attempt, result, error)
        if attempt.ending is not None and attempt.ending.error is not None:
            self.errors[attempt.lease.token] = attempt.ending.error
        return settlement


class Drain:
    """One drain of a test's queues."""

    def __init__(
        self,
        broker: LaneBroker,
        store: KitStore,
        *,
        queues: Sequence[str] | None,
        concurrency: int,
        raising: bool,
        limit: int,
        timeout: timedelta,
        clock: Clock,
    ) -> None:
        self._broker = broker
        self._kit_store = store
        self._store: LaneStore = store.lanes
        self._queues = queues
        self._concurrency = concurrency
        self._raising = raising
        self._limit = limit
        self._timeout = timeout
        self._clock = clock
        self._session = new_session()
        self._freed = asyncio.Event()
        self._begun: list[Lease] = []
        self._noted = len(store.ended)
        self._events = EventSender(
            self._store,
            lambda: self._session,
            max_event_bytes=broker.defaults.max_event_bytes,
            clock=clock,
        )
        self._settler = Settler(
            self._store, lambda: self._session, clock=clock, sealed=self._events.sealed
        )

    async def run(self) -> DrainReport:
        """Run what is ready, and what that sends, until nothing is ready."""
        executor = DrainExecutor(
            self._broker,
            self._settler,
            events=self._events,
            threads=self._concurrency,
            max_deliveries=self._broker.defaults.max_deliveries,
            on_free=self._freed.set,
            on_ran=lambda _: None,
            clock=self._clock,
            spans_partitions=self._store.spans_partitions,
            rng=random.Random(0),  # noqa: S311 - the same delays each time a test runs
        )
        executor.errors = {}
        await self._store.define(self._broker.gates())
        queues = self._queues or sorted({*self._broker.queues, *await self._store.queues()})
        cancels = Cancels(self._store, executor, queues, clock=self._clock)
        listening = asyncio.create_task(cancels.run())
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                await self._work(executor, queues)
        except TimeoutError:
            names = [attempt.call.actor for attempt in executor.running.values()]
            raise DrainTimeout(names, timeout=self._timeout) from None
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await self._stop(executor)
        return DrainReport(ran=self._ran(executor))

    async def _work(self, executor: DrainExecutor, queues: Sequence[str]) -> None:
        while True:
            await self._settler.drained()
            if self._raising:
                _raise_first(self._ran(executor))
            await self._fire(queues)
            for queue in queues:
                await self._store.promote(queue)
            self._freed.clear()
            if await self._claim(executor, queues) or self._freed.is_set():
                await asyncio.sleep(0)  # noqa: TID251 - a turn of the loop, no time
            elif executor.running:
                await self._wait(executor)
            elif not self._settler.pending:
                return

    async def _claim(self, executor: DrainExecutor, queues: Sequence[str]) -> bool:
        """Start what there is room for; return whether that was anything."""
        room = self._concurrency - sum(not _collects(a) for a in executor.running.values())
        leases = await self._store.claim(self._session, queues, limit=room) if room > 0 else []
        if leases and len(self._begun) + len(leases) > self._limit:
            self._begun += leases
            last = [attempt.call.actor for attempt in executor.running.values()]
            last += [one.actor for one in self._ran(executor)[-10:]]
            raise DrainEndless(last, limit=self._limit)
        for lease in leases:
            self._begun.append(lease)
            executor.start(lease)
        return bool(leases)

    async def _wait(self, executor: DrainExecutor) -> None:
        """Return when something has ended, or it is time to look for new messages."""
        if all(map(_collects, executor.running.values())):
            executor.start_batches()  # nothing more comes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._freed.wait()

    async def _stop(self, executor: DrainExecutor) -> None:
        """Hand back what still runs or was claimed, and end all that belongs to this drain."""
        await executor.release_all(grace_seconds=_GRACE_SECONDS)
        await self._settler.drained()
        executor.close()
        self._events.close()
        await self._store.retire(self._session)
        await self._store.reclaim()

    def _ran(self, executor: DrainExecutor) -> tuple[Ran, ...]:
        ran: list[Ran] = []
        for ended in self._kit_store.ended[self._noted :]:
            error = executor.errors.get(ended.lease.token)
            is_wish = error is not None and is_steering(error)
            ran.append(ran_from(ended, error, is_wish=is_wish))
        return tuple(ran)

    # ── schedules ────────────────────────────────────────────────────────────────────────────────

    async def _fire(self, queues: Sequence[str]) -> None:
        """Fire the ticks that are due by the clock of the test."""
        for periodic in self._broker.schedules:
            if periodic.queue not in queues:
                continue
            last_ms = await begun_ms(self._store, periodic)
            while due := periodic.schedule.due(last_ms=last_ms, now_ms=self._clock.now_ms()).ticks:
                for tick_ms in due:
                    firing = await self._broker.schedules.fire(
                        self._store, periodic, after_ms=last_ms, tick_ms=tick_ms
                    )
                    last_ms = firing.last_ms


async def begun_ms(store: LaneStore, periodic: Periodic) -> int:
    """Return the last tick of a schedule; one that was never seen begins now."""
    schedule = periodic.schedule
    stands = await store.last_tick(schedule.name, schedule.ticks.digest)
    return stands.now_ms if stands.last_ms is None else stands.last_ms


def _collects(attempt: Attempt) -> bool:
    """Whether a message waits for others of its batch."""
    return attempt.options.batch is not None and attempt.entered is None


def _raise_first(ran: Sequence[Ran]) -> None:
    for one in ran:
        if one.is_failure and one.error is not None:
            raise one.error
