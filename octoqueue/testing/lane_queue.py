"""`LaneQueue`: the queues of a broker in memory, in the hands of a test.

    with octoqueue.testing.in_memory() as lane_queue:
        welcome.send(7)
        lane_queue.drain()
        lane_queue.require_enqueued(count, kwargs={"user_id": 7})

Actors run in the worker's own executor, one at a time unless told otherwise, with the broker's
middleware. Time stands still until `advance` moves it.

Weakness: there is one broker in hand; what actors of another broker send goes to its real store.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from octoqueue.broker.default import default_broker
from octoqueue.broker.portal import Portal
from octoqueue.broker.sending_clock import SENDING_CLOCK
from octoqueue.broker.sources import FactorySource
from octoqueue.errors import DeclarationError, InvalidMessage
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.lane import lane_from
from octoqueue.testing.draining import Drain, begun_ms
from octoqueue.testing.enqueued import Enqueued, enqueued_from
from octoqueue.testing.expectation import Expectation
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.kit_store import KitStore

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator, Mapping, Sequence

    from octoqueue.broker.handles import MessageHandle
    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.lanes.options import LaneOptions
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.lane import Lane
    from octoqueue.testing.expectation import Declared
    from octoqueue.testing.report import DrainReport

R = TypeVar("R")
T = TypeVar("T")

MOST = 10_000
"""Messages in one drain, unless the test says otherwise."""
PATIENCE = timedelta(seconds=30)


@contextmanager
def in_memory(
    broker: LaneBroker | None = None,
    *,
    options: LaneOptions | None = None,
    clock: FakeClock | None = None,
) -> Generator[LaneQueue]:
    """Give a broker an empty memory store for the length of the block.

    Args:
        broker: the process-wide one by default.
        options: bounds of lanes and the like.
        clock: a clock of your own; by default one that begins now and then stands still.
    """
    chosen = broker or default_broker()
    time = clock or FakeClock(SystemClock().now_ms())
    store = KitStore(options, clock=time)
    queue = LaneQueue(chosen, store, clock=time)
    with chosen.standing_on(FactorySource(lambda: store.lanes)), SENDING_CLOCK.replaced_by(time):
        try:
            yield queue
        finally:
            queue.close()


class LaneQueue:
    """What a test may do with the queues of its broker."""

    def __init__(self, broker: LaneBroker, store: KitStore, *, clock: FakeClock) -> None:
        self.broker = broker
        self.clock = clock
        self._store = store
        self._portal = Portal("octoqueue-drain")
        self._has_booted = False

    @property
    def store(self) -> LaneStore:
        """The store itself, with statistics, dead letters and all else the protocol has."""
        return self._store.lanes

    @property
    def now(self) -> datetime:
        """What time it is in this test."""
        return datetime.fromtimestamp(self.clock.now_ms() / 1000, tz=UTC)

    # ── running ──────────────────────────────────────────────────────────────────────────────────

    def drain(
        self,
        *,
        queues: Sequence[str] | None = None,
        raising: bool = True,
        concurrency: int = 1,
        limit: int = MOST,
        timeout: timedelta = PATIENCE,
    ) -> DrainReport:
        """Run everything that is ready, follow-ups included, until nothing is.

        What is delayed, paused or held up by a limit stays: `advance` the clock and drain again.

        Args:
            queues: these only; all by default.
            raising: raise what an actor failed with, at once, in the test. The message is retried
                or dead by then, as its actor says, and what else was ready still waits.
            concurrency: messages that may run at the same time. With one they run strictly in
                order; an actor that waits for the result of another needs two.
            limit: messages after which this cannot be meant.
            timeout: of real time.

        Raises:
            DrainTimeout: actors were still running; they are interrupted and given back.
            DrainEndless: the limit was reached.
            DeclarationError: called on an event loop, `await adrain()` there; or `queues` is no
                list, or `concurrency` below 1.
        """
        _refuse_on_loop("drain")
        return self._portal.run(
            self.adrain(
                queues=queues,
                raising=raising,
                concurrency=concurrency,
                limit=limit,
                timeout=timeout,
            )
        )

    async def adrain(
        self,
        *,
        queues: Sequence[str] | None = None,
        raising: bool = True,
        concurrency: int = 1,
        limit: int = MOST,
        timeout: timedelta = PATIENCE,
    ) -> DrainReport:
        """Drain on this event loop. See `drain`."""
        if isinstance(queues, str):
            raise DeclarationError(f"queues: {queues!r} is no list: write [{queues!r}]")
        if concurrency < 1:
            raise DeclarationError(f"concurrency: {concurrency} is not 1 or more")
        if not self._has_booted:
            self._has_booted = True
            await asyncio.to_thread(self.broker.announce, "after_process_boot")
        drain = Drain(
            self.broker,
            self._store,
            queues=queues,
            concurrency=concurrency,
            raising=raising,
            limit=limit,
            timeout=timeout,
            clock=self.clock,
        )
        return await drain.run()

    def advance(self, by: timedelta) -> None:
        """Move the clock; what becomes due runs with the next drain.

        Periodic actors see it as an outage of that length: `missed` says what becomes of their
        ticks. To see each of them, advance from tick to tick.

        Raises:
            InvalidMessage: `by` is negative, or no `timedelta`.
        """
        if not isinstance(cast("object", by), timedelta):
            raise InvalidMessage("by", f"{by!r} is no timedelta")
        if by < timedelta(0):
            raise InvalidMessage("by", f"{by} is negative: time does not go back")
        for periodic in self.broker.schedules:
            _at_once(begun_ms(self.store, periodic))
        self.clock.advance(by)

    def result(self, handle: MessageHandle[R]) -> R:
        """Return what a message has returned, in a test without an event loop.

        Raises:
            ResultTimeout: it has not ended.
            ResultNotKept: its actor keeps no results.
            ActorFailed: it failed.
            DeclarationError: called on an event loop; `await handle.result()` there.
        """
        _refuse_on_loop("result")
        return self._portal.run(handle.result(timeout=timedelta(0)))

    def reset(self) -> None:
        """Drop everything: messages, results, dead letters, what limits and schedules remember."""
        self._store.clear()

    def close(self) -> None:
        """End the thread that drains for tests without an event loop. Idempotent."""
        self._portal.close()

    # ── looking ──────────────────────────────────────────────────────────────────────────────────

    def enqueued(self, actor: Declared | None = None) -> list[Enqueued]:
        """Return what waits or is delayed, of one actor or of all, lane by lane in its order."""
        now_ms = self.clock.now_ms()
        found = [
            enqueued_from(payload, due_ms=due_ms, now_ms=now_ms)
            for payload, due_ms in self._store.waiting()
        ]
        return [one for one in found if actor is None or one.actor == actor.actor_name]

    def require_enqueued(
        self,
        actor: Declared,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        lane: Lane | str | None = None,
        queue: str | None = None,
        tenant: str | None = None,
        due_in: timedelta | None = None,
        count: int | None = None,
    ) -> list[Enqueued]:
        """Return the messages of an actor that wait and are as described.

        Arguments that are not named may be anything, and it does not matter which were passed by
        position and which by name.

        Args:
            actor: whose messages.
            args: the first arguments, by position.
            kwargs: arguments by name.
            lane: in this lane.
            queue: in this queue.
            tenant: on behalf of this tenant.
            due_in: exactly so long from now; zero for those that are ready.
            count: exactly so many; at least one by default.

        Raises:
            AssertionError: there are not so many; says what is there instead.
        """
        __tracebackhide__ = True
        wanted = Expectation(
            actor,
            args=tuple(args),
            kwargs=dict(kwargs or {}),
            lane=None if lane is None else lane_from(lane).label,
            queue=queue,
            tenant=tenant,
            due_in=due_in,
            count=count,
        )
        return wanted.met_by(self.enqueued())

    def refute_enqueued(
        self,
        actor: Declared,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Return when no message of an actor waits that is as described.

        Raises:
            AssertionError: there are some; says which.
        """
        __tracebackhide__ = True
        self.require_enqueued(actor, args=args, kwargs=kwargs, count=0)


def _refuse_on_loop(verb: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    awaited = "adrain()" if verb == "drain" else "handle.result()"
    raise DeclarationError(f"{verb} blocks, and this is an event loop: use `await {awaited}`")


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as returned:
        result: T = returned.value
        return result
    coroutine.close()
    raise RuntimeError("the memory store had to wait")
