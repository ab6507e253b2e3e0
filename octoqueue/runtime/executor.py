"""`Executor`: runs attempts and hands their endings to the settler."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace
from time import thread_time
from typing import TYPE_CHECKING, Any, TypeGuard

from octoqueue.broker.context import CURRENT
from octoqueue.primitives.envelope import flags_in
from octoqueue.primitives.messages import Lease, LeaseToken, Outcome, Settlement
from octoqueue.runtime.at_risk import at_risk_of
from octoqueue.runtime.batching import Batching
from octoqueue.runtime.endings import Endings
from octoqueue.runtime.hook_calls import HookCalls
from octoqueue.runtime.slots import SUSPENDED, Slots
from octoqueue.runtime.starting import Unfit, attempt_from
from octoqueue.runtime.threads import ActorThreads
from octoqueue.runtime.time_limits import TimeLimits
from octoqueue.runtime.verdict import DEAD, Ending

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.ids import MessageId
    from octoqueue.runtime.attempt import Attempt
    from octoqueue.runtime.event_sender import EventSender
    from octoqueue.runtime.presence import AtRisk
    from octoqueue.runtime.settler import Settler

log = logging.getLogger(__name__)

_SAME_MOMENT_SECONDS = 0.001
"""For how long the time of day is not read again."""


class Executor:
    """Owns the attempts that run in this process."""

    def __init__(
        self,
        broker: LaneBroker,
        settler: Settler,
        *,
        events: EventSender,
        threads: int,
        max_deliveries: int,
        on_free: Callable[[], None],
        on_ran: Callable[[Attempt], None],
        clock: Clock,
        rng: random.Random | None = None,
        spans_partitions: bool = True,
    ) -> None:
        self._broker = broker
        self._settler = settler
        self._events = events
        self._max_deliveries = max_deliveries
        self._on_free = on_free
        self._on_ran = on_ran
        self._clock = clock
        jitter = (rng or random.Random()).random  # noqa: S311 - spreads retries, no secret
        self._endings = Endings(broker, jitter=jitter, clock=clock)
        self._hooks = HookCalls(self._endings)
        self._loop = asyncio.get_running_loop()
        self._monotonic = clock.monotonic
        self._now_ms, self._read_at = clock.now_ms(), clock.monotonic()
        self._find = broker.executable
        self._slots = Slots(self._loop, self._ended)
        self._limits = TimeLimits(self._loop, self._interrupt, clock=clock)
        self._threads = ActorThreads(
            self._loop,
            threads=threads,
            around=self._in_thread,
            on_ended=self._thread_ended,
            announce=broker.announce,
        )
        self._batching = Batching(
            self._loop,
            self._ended,
            threads=self._threads,
            endings=self._endings,
            hooks=self._hooks,
            deadlines=self._limits.deadlines,
            clock=clock,
            spans_partitions=spans_partitions,
        )
        self.running: dict[LeaseToken, Attempt] = {}
        self.in_threads = 0
        """Attempts of sync actors that run or wait for a thread, those set aside excepted."""

    # ── starting ─────────────────────────────────────────────────────────────────────────────────

    def start(self, lease: Lease) -> None:
        """Run a leased message.

        It is over when this returns if it could not run and was settled at once, or if it is an
        async actor that ended without waiting for anything.
        """
        now = self._monotonic()
        if now - self._read_at > _SAME_MOMENT_SECONDS:
            self._now_ms, self._read_at = self._clock.now_ms(), now
        attempt = attempt_from(
            lease,
            find=self._find,
            max_deliveries=self._max_deliveries,
            now_ms=self._now_ms,
            began=now,
        )
        if isinstance(attempt, Unfit):
            self._settler.settle(self._endings.burial(attempt))
            return
        try:
            if attempt.is_light:
                self._begin(attempt)
            else:
                self.running[lease.token] = attempt
                self._limits.watch(attempt)
                self._submit(attempt)
        except Exception as error:
            # Whatever it is, the others must run.
            log.exception("start_failed", extra={"actor": attempt.call.actor})
            self.running[lease.token] = attempt
            self._ended(attempt, None, error)

    def _begin(self, attempt: Attempt) -> None:
        """Run an async actor to where it first waits, or to its end."""
        if flags_in(attempt.lease.payload):
            self._events.begin(attempt)
        error: BaseException | None = None
        result: object = None
        attempt.entered = self._monotonic()
        try:
            result = self._slots.begin(attempt)
        except BaseException as raised:  # noqa: BLE001 - whatever an actor raises is its outcome
            error = raised
        if result is SUSPENDED:
            self.running[attempt.lease.token] = attempt
            self._limits.watch(attempt)
        else:
            self._conclude(attempt, result, error)

    def _submit(self, attempt: Attempt) -> None:
        """Run an attempt in a thread, in a batch or between hooks."""
        if flags_in(attempt.lease.payload):
            self._events.begin(attempt)
        if attempt.options.batch is not None:
            self._batching.add(attempt)
        elif attempt.executable.is_async:
            attempt.task = self._loop.create_task(self._run_with_hooks(attempt))
        else:
            self._threads.start(attempt)
            attempt.in_thread = True
            self.in_threads += 1

    def start_batches(self) -> None:
        """Run what waits for more messages of its batch without waiting any longer."""
        self._batching.start_all()

    async def _run_with_hooks(self, attempt: Attempt) -> None:
        """Run an async actor between dramatiq's hooks; they are synchronous and may block."""
        attempt.entered = self._clock.monotonic()
        try:
            CURRENT.set(attempt.context)
            if attempt.message is not None:
                attempt.executable.show(attempt.message)
            call = attempt.call
            if await self._threads.call(lambda: self._hooks.begin(attempt)):
                await self._finish(attempt, attempt.executable.function(*call.args, **call.kwargs))
        except BaseException as error:  # noqa: BLE001 - whatever an actor raises is its outcome
            self._ended(attempt, None, error)
        else:
            self._ended(attempt, None, None)

    async def _finish(self, attempt: Attempt, actor: Awaitable[object]) -> None:
        """Await an actor and tell the hooks how it ended."""
        result: object = None
        error: BaseException | None = None
        try:
            result = await actor
        except BaseException as raised:  # noqa: BLE001 - whatever an actor raises is its outcome
            error = raised
        attempt.ending = self._endings.judge(attempt, result, error)
        self._limits.unwatch(attempt)
        await self._threads.call(lambda: self._hooks.conclude(attempt, result))

    # ── in threads ───────────────────────────────────────────────────────────────────────────────

    def _in_thread(self, attempt: Attempt, call: Callable[[Attempt], object]) -> object:
        """Run a sync actor and measure what it computes, also of the hooks around it."""
        if attempt.is_unwanted:
            raise asyncio.CancelledError
        attempt.entered, cpu_seconds = self._monotonic(), thread_time()
        try:
            return self._between_hooks(attempt, call)
        finally:
            attempt.cpu_seconds = thread_time() - cpu_seconds
            attempt.run_seconds = self._monotonic() - attempt.entered

    def _between_hooks(self, attempt: Attempt, call: Callable[[Attempt], object]) -> object:
        """Run a sync actor between dramatiq's hooks, all in one thread."""
        if attempt.message is not None:
            attempt.executable.show(attempt.message)
        if attempt.hooks is None:
            return call(attempt)
        result: object = None
        error: BaseException | None = None
        try:
            if not self._hooks.begin(attempt):
                return None
            result = call(attempt)
        except BaseException as raised:  # noqa: BLE001 - whatever an actor raises is its outcome
            error = raised
        if _is_awaitable(result):
            return result  # its ending is told by `_await`
        attempt.ending = self._endings.judge(attempt, result, error)
        self._hooks.conclude(attempt, result)
        return result

    def _thread_ended(self, attempt: Attempt, result: object, error: BaseException | None) -> None:
        if attempt.in_thread:
            self._count_out(attempt)
        self._on_ran(attempt)
        if attempt.ending is None and _is_awaitable(result):
            # A plain function that returned a coroutine: a decorated coroutine function.
            attempt.task = self._loop.create_task(self._await(attempt, result))
        else:
            self._ended(attempt, result, error)

    def set_aside(self, *, before: float) -> None:
        """Count those no more that entered a thread before then and are still inside."""
        for attempt in self.running.values():
            if attempt.began > before:
                return
            if attempt.in_thread and attempt.entered is not None and attempt.entered <= before:
                self._count_out(attempt)

    def _count_out(self, attempt: Attempt) -> None:
        attempt.in_thread = False
        self.in_threads -= 1

    async def _await(self, attempt: Attempt, actor: Awaitable[Any]) -> None:
        CURRENT.set(attempt.context)
        try:
            if attempt.hooks is None:
                self._ended(attempt, await actor, None)
            else:
                await self._finish(attempt, actor)
                self._ended(attempt, None, None)
        except BaseException as error:  # noqa: BLE001 - whatever an actor raises is its outcome
            self._ended(attempt, None, error)

    def at_risk(self) -> AtRisk:
        """Return what would be lost with this process now; any thread may ask."""
        attempts, now = list(self.running.values()), self._monotonic()
        return at_risk_of(attempts, now=now, call_of=self._batching.call_of)

    # ── ending ───────────────────────────────────────────────────────────────────────────────────

    def _ended(self, attempt: Attempt, result: object, error: BaseException | None) -> None:
        if self.running.pop(attempt.lease.token, None) is None:
            return  # forgotten: its lease was lost, or it was released while it ran
        self._limits.unwatch(attempt)
        self._conclude(attempt, result, error)
        self._on_free()

    def _conclude(self, attempt: Attempt, result: object, error: BaseException | None) -> None:
        """Settle an attempt that is over."""
        lease, settler = attempt.lease, self._settler
        began = attempt.began if attempt.entered is None else attempt.entered
        settler.ran(lease.queue, self._monotonic() - began)
        if error is None and attempt.ending is None and not flags_in(lease.payload):
            follow_ups = attempt.context.seal()
            if not follow_ups:
                settler.ack(lease)
            else:
                settler.settle(Settlement(lease=lease, outcome=Outcome.ACK, follow_ups=follow_ups))
        else:
            settler.settle(self._settlement(attempt, result, error))

    def _settlement(
        self, attempt: Attempt, result: object, error: BaseException | None
    ) -> Settlement:
        try:
            ending = attempt.ending or self._endings.judge(attempt, result, error)
            attempt.ending = ending
            settlement = self._endings.settlement(attempt, ending, attempt.context.seal())
            used = attempt.context.used
            return replace(settlement, used=dict(used)) if used else settlement
        except BaseException as broken:
            # Code of the program: how it compares its errors, what its `retry_when` says.
            log.exception("ending_failed", extra={"actor": attempt.call.actor})
            return self._endings.settlement(attempt, Ending(DEAD, broken), ())

    # ── interrupting ─────────────────────────────────────────────────────────────────────────────

    def cancel(self, message_id: MessageId, reason: str) -> bool:
        """Stop the attempt of a message that somebody cancelled; False when none runs here.

        An async actor is cancelled at its next await, a thread interrupted at its next instruction,
        once: what it does then is its own affair, and what it returns is its result.
        """
        found = [a for token, a in self.running.items() if token[: len(message_id)] == message_id]
        for attempt in found:
            if attempt.cancelled is None:
                attempt.cancelled = reason
                self._interrupt(attempt)
        return bool(found)

    def message_ids(self) -> list[MessageId]:
        """Return the ids of the messages that run here and nobody has stopped yet."""
        return [
            attempt.lease.message_id
            for attempt in self.running.values()
            if attempt.cancelled is None
        ]

    def _interrupt(self, attempt: Attempt) -> None:
        if attempt.options.batch is not None:
            self._batching.interrupt(attempt)
        elif attempt.task is not None:
            # One that has not begun would end unheard: it has, one turn of the loop later.
            self._loop.call_soon(attempt.task.cancel)
        else:
            self._threads.interrupt(attempt)

    def forget(self, token: LeaseToken) -> None:
        """Stop an attempt whose lease another worker has: what it does no longer counts."""
        attempt = self.running.pop(token, None)
        if attempt is not None:
            attempt.released = True
            if attempt.in_thread:
                self._count_out(attempt)
            self._limits.unwatch(attempt)
            self._interrupt(attempt)
            self._on_free()

    def notify_shutdown(self) -> int:
        """Interrupt those that wished to know of a shutdown at once; return how many."""
        all_of_them = self.running.values()
        notified = [a for a in all_of_them if a.options.notify_shutdown and not a.notified]
        for attempt in notified:
            attempt.notified = True
            self._interrupt(attempt)
        return len(notified)

    async def release_all(self, *, grace_seconds: float) -> int:
        """Cancel what still runs and hand it back; return how many messages.

        Async actors get `grace_seconds` to clean up; one that returns in that time is settled by
        its own outcome. Threads are interrupted and released at once.
        """
        attempts = list(self.running.values())
        tasks = [a.task for a in attempts if a.task is not None]
        for attempt in attempts:
            attempt.released = True
            self._interrupt(attempt)
        if tasks:
            await asyncio.wait(tasks, timeout=grace_seconds)
        for token, attempt in list(self.running.items()):
            del self.running[token]
            self._limits.unwatch(attempt)
            used = dict(attempt.context.used)
            self._settler.settle(
                Settlement(lease=attempt.lease, outcome=Outcome.RELEASE, used=used)
            )
        return len(attempts)

    def close(self) -> None:
        """Stop timers, threads and whatever still runs; its leases are left to expire."""
        for token in tuple(self.running):
            self.forget(token)
        self._slots.close()
        self._batching.close()
        self._limits.clear()
        self._threads.close()

    async def end_threads(self, *, within_seconds: float) -> None:
        """Let idle threads end; wait for the hooks they call then, when there are any."""
        self._threads.close()
        if self._broker.has_listeners("before_worker_thread_shutdown"):
            await asyncio.to_thread(self._threads.join, within_seconds)


def _is_awaitable(result: object) -> TypeGuard[Awaitable[Any]]:
    return hasattr(type(result), "__await__")
