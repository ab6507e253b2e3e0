"""`Worker`: claims messages of some queues, runs them, and stops cleanly.

The life of a worker: *running*, then *quiet* (claims nothing more) on the first request to stop,
then *releasing* (hands back what still runs) when the drain time is over or on a second request.
Who is told by `quiet` that a stop is to come claims nothing more, and has no drain time before it.
Who retires does so, too, and ends by itself when nothing runs.
A deploy therefore costs no message an attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from octoqueue.broker.session_keeper import new_session
from octoqueue.errors import StoreError
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.messages import Outcome, SessionId, Settlement
from octoqueue.runtime.cancels import Cancels
from octoqueue.runtime.claiming import AGAIN_SECONDS, Claimer
from octoqueue.runtime.event_sender import EventSender
from octoqueue.runtime.executor import Executor
from octoqueue.runtime.heartbeat import Heartbeat
from octoqueue.runtime.offloading import Offloader
from octoqueue.runtime.presence import AtRisk, WorkerPresence
from octoqueue.runtime.settler import Settler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.runtime.attempt import Attempt

log = logging.getLogger(__name__)

_COMPANY_SECONDS = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a worker runs."""

    queues: tuple[str, ...]
    concurrency: int = 100
    """Slots: messages running at the same time."""
    threads: int | None = None
    """Threads for sync actors; as many as slots when None."""
    drain: timedelta = timedelta(seconds=25)
    grace: timedelta = timedelta(seconds=1)
    """What a cancelled actor gets to clean up after the drain time."""
    max_deliveries: int = 5
    look_every: timedelta = timedelta(seconds=5)
    """How long an idle worker trusts the doorbell before it looks by itself."""
    name: str = ""
    """Of the process; that of its session when it has none."""
    fleet: str = ""
    """Which it counts towards."""


class Worker:
    """Runs the messages of its queues on the current event loop."""

    def __init__(
        self,
        broker: LaneBroker,
        options: WorkerOptions,
        *,
        on_bell: Callable[[], None] | None = None,
        on_work: Callable[[], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare a worker.

        Args:
            broker: declares the actors and opens the store.
            options: queues, slots, times.
            on_bell: called when the doorbell rang and nothing was there to claim: a delayed
                message has become the next one due.
            on_work: called when something was there to claim.
            clock: for tests.
        """
        self.options = options
        self.session: SessionId = new_session()
        self._broker = broker
        self._clock = clock or SystemClock()
        self._claimer = Claimer(
            broker,
            session=self.session,
            queues=options.queues,
            slots=options.concurrency,
            look_every=options.look_every,
            on_bell=on_bell,
            on_work=on_work,
            clock=self._clock,
        )
        self._heartbeat_defines = False
        self._executor: Executor | None = None
        self._presence = WorkerPresence(
            self.session,
            queues=options.queues,
            slots=options.concurrency,
            running=lambda: len(self.running),
            name=options.name,
            fleet=options.fleet,
            at_risk=self.at_risk,
            clock=self._clock,
        )
        self._stopping, self._hurry = asyncio.Event(), asyncio.Event()
        self._retiring = asyncio.Event()
        self._checking: asyncio.Task[None] | None = None
        self.started = self._claimer.started
        """Set when the worker claims: for whoever waits for a fact, not for a while."""

    async def run(self) -> None:
        """Work until `stop` is called, then drain and return."""
        store = await self._broker.opened_store()
        events = EventSender(
            store,
            lambda: self.session,
            max_event_bytes=self._broker.defaults.max_event_bytes,
            clock=self._clock,
        )
        settler = Settler(
            store,
            lambda: self.session,
            clock=self._clock,
            sealed=events.sealed,
            offloader=Offloader(self._broker.claim_checks, clock=self._clock),
            company_seconds=_COMPANY_SECONDS,
        )
        executor = Executor(
            self._broker,
            settler,
            events=events,
            threads=self.options.threads or self.options.concurrency,
            max_deliveries=self.options.max_deliveries,
            on_free=self._claimer.freed,
            on_ran=self._claimer.ran,
            clock=self._clock,
            spans_partitions=store.spans_partitions,
        )
        self._executor = executor
        heartbeat = Heartbeat(
            self._broker.another_store,
            self.session,
            lease=store.options.lease,
            on_expired=lambda: self._check_leases(store, executor),
            on_beat=self._beat,
            presence=self._presence,
            clock=self._clock,
        )
        await self._announce("after_process_boot")
        await self._announce("before_worker_boot", self)
        await heartbeat.start()
        log.info(
            "worker_started",
            extra={
                "queues": ",".join(self.options.queues),
                "slots": self.options.concurrency,
                "session": self.session,
            },
        )
        cancels = Cancels(store, executor, self.options.queues, clock=self._clock)
        listening = asyncio.create_task(cancels.run())
        try:
            await self._announce("after_worker_boot", self)
            self._presence.ready()
            await self._claimer.run(store, executor, settler)
            await self._hold(executor)
            await self._announce("before_worker_shutdown", self)
            await self._drain(executor)
            with contextlib.suppress(TimeoutError, StoreError):
                async with asyncio.timeout(store.options.lease.total_seconds()):
                    await settler.drained()
                    await heartbeat.stop()
                    await self._retire(store)
            await executor.end_threads(within_seconds=self.options.grace.total_seconds())
            await self._announce("after_worker_shutdown", self)
            log.info("worker_stopped", extra={"session": self.session})
        finally:
            if self._checking is not None:
                self._checking.cancel()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            executor.close()
            settler.abandon()
            events.close()
            await heartbeat.stop()

    def quiet(self) -> None:
        """Claim nothing more, and let what runs go on for as long as it takes, until `stop`."""
        self._presence.draining()
        self._claimer.stop()

    def retire(self) -> None:
        """Claim nothing more, and end once what runs has ended, however long that takes."""
        self._retiring.set()
        self.quiet()

    def stop(self) -> None:
        """Claim nothing more and drain; when called again, hand back what runs at once."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()
        self.quiet()

    @property
    def running(self) -> Collection[Attempt]:
        """What runs now; a copy, so that any thread may look."""
        return () if self._executor is None else list(self._executor.running.values())

    def at_risk(self) -> AtRisk:
        """Return what would be lost with it now; any thread may ask."""
        return AtRisk() if self._executor is None else self._executor.at_risk()

    async def _announce(self, hook: str, *facts: object) -> None:
        """Tell dramatiq's middleware; what it does may block."""
        if self._broker.has_listeners(hook):
            await asyncio.to_thread(self._broker.announce, hook, *facts)

    async def _beat(self, store: LaneStore) -> None:
        """Look after what cannot wait for the loop, in the thread of the heartbeat."""
        if not self._heartbeat_defines:
            # From now on its store writes them again when it registers the session anew.
            await store.define(self._broker.gates())
            self._heartbeat_defines = True

    # ── after trouble ────────────────────────────────────────────────────────────────────────────

    def _check_leases(self, store: LaneStore, executor: Executor) -> None:
        async def check() -> None:
            while suspects := set(executor.running):
                try:
                    held = await store.held(self.session, self.options.queues)
                except StoreError:
                    await self._clock.sleep(AGAIN_SECONDS)
                    continue
                for token in suspects.difference(lease.token for lease in held):
                    log.warning("lease_lost", extra={"token": token.hex()})
                    executor.forget(token)
                return

        if self._checking is not None:
            self._checking.cancel()
        self._checking = asyncio.ensure_future(check())

    # ── stopping ─────────────────────────────────────────────────────────────────────────────────

    async def _hold(self, executor: Executor) -> None:
        """After `quiet`, wait for `stop`; after `retire`, for the end of what runs, too."""
        if self._stopping.is_set():
            return
        log.info("worker_holds", extra={"running": len(executor.running)})
        executor.start_batches()
        executor.notify_shutdown()
        await _first_of(self._stopping.wait(), self._is_done())

    async def _is_done(self) -> None:
        """Return when the worker retires and nothing runs."""
        await self._retiring.wait()
        await self._claimer.idle.wait()

    async def _drain(self, executor: Executor) -> None:
        log.info("worker_quiet", extra={"running": len(executor.running)})
        executor.start_batches()
        notified = executor.notify_shutdown()
        if notified:
            log.info("shutdown_notified", extra={"messages": notified})
        if executor.running:
            drain_seconds = self.options.drain.total_seconds()
            await _first_of(
                self._claimer.idle.wait(), self._hurry.wait(), timeout_seconds=drain_seconds
            )
        if executor.running:
            released = await executor.release_all(grace_seconds=self.options.grace.total_seconds())
            log.warning("messages_released", extra={"messages": released})

    async def _retire(self, store: LaneStore) -> None:
        """Forget the session, handing back what lost answers left in its name."""
        left = await store.held(self.session, self.options.queues)
        if left:
            release = [Settlement(lease=lease, outcome=Outcome.RELEASE) for lease in left]
            await store.commit(self.session, settlements=release)
        await store.retire(self.session)


async def _first_of(*awaitables: Awaitable[Any], timeout_seconds: float | None = None) -> None:
    """Return when the first has ended; the others have ended too then, by cancellation."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
