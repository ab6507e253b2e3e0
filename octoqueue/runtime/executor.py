"""`Executor`: runs attempts and hands their endings to the settler."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeGuard

from octoqueue.broker.context import CURRENT
from octoqueue.primitives.messages import Lease, LeaseToken, Outcome, Settlement
from octoqueue.runtime.attempt import Attempt
from octoqueue.runtime.batching import Batching
from octoqueue.runtime.deadlines import ASK_AGAIN_SECONDS, Deadlines
from octoqueue.runtime.endings import Endings
from octoqueue.runtime.hook_calls import HookCalls
from octoqueue.runtime.starting import Unfit, attempt_from
from octoqueue.runtime.threads import ActorThreads
from octoqueue.runtime.verdict import DEAD, Ending

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.ids import MessageId
    from octoqueue.runtime.event_sender import EventSender
    from octoqueue.runtime.settler import Settler

log = logging.getLogger(__name__)

_LATE_SECONDS = 0.1
"""An actor that began this much later than it was claimed has waited for its turn."""


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
        clock: Clock,
        rng: random.Random | None = None,
        spans_partitions: bool = True,
    ) -> None:
        self._broker = broker
        self._settler = settler
        self._events = events
        self._max_deliveries = max_deliveries
        self._on_free = on_free
        self._clock = clock
        jitter = (rng or random.Random()).random  # noqa: S311 - spreads retries, no secret
        self._endings = Endings(broker, jitter=jitter, clock=clock)
        self._hooks = HookCalls(self._endings)
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines[Attempt](self._loop, self._expire)
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
            deadlines=self._deadlines,
            clock=clock,
            spans_partitions=spans_partitions,
        )
        self.running: dict[LeaseToken, Attempt] = {}

    # ── starting ─────────────────────────────────────────────────────────────────────────────────

    def start(self, lease: Lease) -> bool:
        """Run a leased message and return True, or settle it at once when it cannot run."""
        attempt = attempt_from(
            lease,
            find=self._broker.executable,
            max_deliveries=self._max_deliveries,
            now_ms=self._clock.now_ms(),
            began=self._clock.monotonic(),
        )
        if isinstance(attempt, Unfit):
            self._settler.settle(self._endings.burial(attempt))
            return False
        self.running[lease.token] = attempt
        try:
            self._begin(attempt)
        except Exception as error:
            # Whatever it is, the others must run.
            log.exception("start_failed", extra={"actor": attempt.call.actor})
            self._ended(attempt, None, error)
        return True

    def _begin(self, attempt: Attempt) -> None:
        if attempt.header.flags:
            self._events.begin(attempt)
        if attempt.deadline_ms is not None:
            self._watch_deadline(attempt, attempt.deadline_ms)
        if attempt.options.batch is not None:
            self._batching.add(attempt)
            return
        limit_seconds = attempt.options.time_limit_seconds
        if limit_seconds is not None:
            self._deadlines.add(attempt, limit_seconds)
        if not attempt.executable.is_async:
            self._threads.start(attempt)
        elif attempt.hooks is None:
            attempt.task = self._loop.create_task(self._run(attempt))
        else:
            attempt.task = self._loop.create_task(self._run_with_hooks(attempt))

    def start_batches(self) -> None:
        """Run what waits for more messages of its batch without waiting any longer."""
        self._batching.start_all()

    async def _run(self, attempt: Attempt) -> None:
        attempt.entered = self._clock.monotonic()
        CURRENT.set(attempt.context)
        if attempt.message is not None:
            attempt.executable.show(attempt.message)
        call = attempt.call
        try:
            result: object = await attempt.executable.function(*call.args, **call.kwargs)
        except BaseException as error:  # noqa: BLE001 - whatever an actor raises is its outcome
            self._ended(attempt, None, error)
        else:
            self._ended(attempt, result, None)

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
        self._unwatch(attempt)
        await self._threads.call(lambda: self._hooks.conclude(attempt, result))

    # ── in threads ───────────────────────────────────────────────────────────────────────────────

    def _in_thread(self, attempt: Attempt, call: Callable[[Attempt], object]) -> object:
        """Run a sync actor between dramatiq's hooks, all in one thread."""
        if attempt.is_unwanted:
            raise asyncio.CancelledError
        attempt.entered = self._clock.monotonic()
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
        if attempt.ending is None and _is_awaitable(result):
            # A plain function that returned a coroutine: a decorated coroutine function.
            attempt.task = self._loop.create_task(self._await(attempt, result))
        else:
            self._ended(attempt, result, error)

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

    # ── ending ───────────────────────────────────────────────────────────────────────────────────

    def _ended(self, attempt: Attempt, result: object, error: BaseException | None) -> None:
        if self.running.pop(attempt.lease.token, None) is None:
            return  # forgotten: its lease was lost, or it was released while it ran
        self._unwatch(attempt)
        began = attempt.began if attempt.entered is None else attempt.entered
        self._settler.ran(attempt.lease.queue, self._clock.monotonic() - began)
        if error is None and attempt.ending is None and not attempt.header.flags:
            follow_ups = attempt.context.seal()
            if not follow_ups:
                self._settler.ack(attempt.lease)
            else:
                self._settler.settle(
                    Settlement(lease=attempt.lease, outcome=Outcome.ACK, follow_ups=follow_ups)
                )
        else:
            self._settler.settle(self._settlement(attempt, result, error))
        self._on_free()

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

    def _unwatch(self, attempt: Attempt) -> None:
        limit_seconds = attempt.options.time_limit_seconds
        if limit_seconds is not None:
            self._deadlines.remove(attempt, limit_seconds)
        if attempt.timer is not None:
            attempt.timer.cancel()

    # ── interrupting ─────────────────────────────────────────────────────────────────────────────

    def _expire(self, attempt: Attempt) -> None:
        limit_seconds = attempt.options.time_limit_seconds
        if limit_seconds is None or self._has_waited(attempt, limit_seconds):
            return
        if not attempt.expired:
            log.warning(
                "time_limit_exceeded",
                extra={
                    "actor": attempt.call.actor,
                    "message_id": attempt.context.message_id,
                    "limit_seconds": limit_seconds,
                },
            )
        attempt.expired = True
        self._interrupt(attempt)

    def _has_waited(self, attempt: Attempt, limit_seconds: float) -> bool:
        """Whether its limit is not over because it had to wait for its turn: it is asked again."""
        if attempt.entered is None:
            return True
        late = attempt.entered - attempt.began > _LATE_SECONDS
        return late and self._clock.monotonic() - attempt.entered < limit_seconds

    def _watch_deadline(self, attempt: Attempt, deadline_ms: int) -> None:
        left_seconds = (deadline_ms - self._clock.now_ms()) / 1000
        attempt.timer = self._loop.call_later(
            max(left_seconds, 0.001), self._pass_deadline, attempt
        )

    def _pass_deadline(self, attempt: Attempt) -> None:
        """Stop an attempt whose deadline is over, and tell it again until it ends."""
        if not attempt.overdue:
            facts = {"actor": attempt.call.actor, "message_id": attempt.context.message_id}
            log.warning("deadline_exceeded", extra=facts)
        attempt.overdue = True
        self._interrupt(attempt)
        attempt.timer = self._loop.call_later(ASK_AGAIN_SECONDS, self._pass_deadline, attempt)

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
            self._unwatch(attempt)
            self._interrupt(attempt)
            self._on_free()

    def notify_shutdown(self) -> int:
        """Interrupt those that wished to know of a shutdown at once; return how many."""
        notified = [a for a in self.running.values() if a.options.notify_shutdown]
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
            self._unwatch(attempt)
            used = dict(attempt.context.used)
            self._settler.settle(
                Settlement(lease=attempt.lease, outcome=Outcome.RELEASE, used=used)
            )
        return len(attempts)

    def close(self) -> None:
        """Stop timers, threads and whatever still runs; its leases are left to expire."""
        for token in tuple(self.running):
            self.forget(token)
        self._batching.close()
        self._deadlines.clear()
        self._threads.close()

    async def end_threads(self, *, within_seconds: float) -> None:
        """Let idle threads end; wait for the hooks they call then, when there are any."""
        self._threads.close()
        if self._broker.has_listeners("before_worker_thread_shutdown"):
            await asyncio.to_thread(self._threads.join, within_seconds)


def _is_awaitable(result: object) -> TypeGuard[Awaitable[Any]]:
    return hasattr(type(result), "__await__")
