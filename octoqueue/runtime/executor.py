"""`Executor`: runs attempts and turns their endings into settlements."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any

import orjson

from octoqueue.broker.context import CURRENT
from octoqueue.broker.executables import Executable, proxy_from
from octoqueue.broker.steering import is_steering
from octoqueue.errors import Discard, OctoqueueError, PayloadNotSerializable, TimeLimitExceeded
from octoqueue.primitives.messages import (
    Enqueue,
    Lease,
    LeaseToken,
    Outcome,
    ResultRecord,
    Settlement,
)
from octoqueue.runtime.attempt import Attempt
from octoqueue.runtime.deadlines import Deadlines
from octoqueue.runtime.records import dead_letter_kwargs, error_record, result_body
from octoqueue.runtime.starting import Unfit, attempt_from
from octoqueue.runtime.threads import ActorThreads
from octoqueue.runtime.verdict import RELEASED, Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.envelope import Call, Header
    from octoqueue.runtime.settler import Settler

log = logging.getLogger(__name__)


class Executor:
    """Owns the attempts that run in this process."""

    def __init__(
        self,
        broker: LaneBroker,
        settler: Settler,
        *,
        threads: int,
        max_deliveries: int,
        on_free: Callable[[], None],
        clock: Clock,
        rng: random.Random | None = None,
    ) -> None:
        self._broker = broker
        self._settler = settler
        self._max_deliveries = max_deliveries
        self._on_free = on_free
        self._clock = clock
        self._jitter = (rng or random.Random()).random  # noqa: S311 - spreads retries, no secret
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines[Attempt](self._loop, self._expire)
        self._threads = ActorThreads(self._loop, threads=threads, on_ended=self._ended)
        self.running: dict[LeaseToken, Attempt] = {}

    # ── starting ─────────────────────────────────────────────────────────────────────────────────

    def start(self, lease: Lease) -> bool:
        """Run a leased message and return True, or settle it at once when it cannot run."""
        attempt = attempt_from(
            lease,
            find=self._broker.executable,
            max_deliveries=self._max_deliveries,
            now_ms=self._clock.now_ms(),
            began=self._loop.time(),
        )
        if isinstance(attempt, Unfit):
            self._bury(attempt)
            return False
        self.running[lease.token] = attempt
        executable = attempt.executable
        self._deadlines.add(attempt, executable.options.time_limit.total_seconds())
        hooks = executable.hooks_for(attempt.call.options)
        if hooks:
            attempt.task = self._loop.create_task(self._run_with_hooks(attempt))
        elif executable.is_async:
            attempt.task = self._loop.create_task(self._run(attempt))
        else:
            self._threads.start(attempt)
        return True

    async def _run(self, attempt: Attempt) -> None:
        CURRENT.set(attempt.context)
        call = attempt.call
        try:
            result: object = await attempt.executable.function(*call.args, **call.kwargs)
        except BaseException as error:  # noqa: BLE001 - whatever an actor raises is its outcome
            attempt.context.drop()
            self._ended(attempt, None, error)
        else:
            self._ended(attempt, result, None)

    async def _run_with_hooks(self, attempt: Attempt) -> None:
        """Run an attempt between dramatiq's hooks; they are synchronous and may block."""
        CURRENT.set(attempt.context)
        executable, call = attempt.executable, attempt.call
        hooks = executable.hooks_for(call.options)
        message = proxy_from(attempt.header, call)
        result: Any = None
        error: BaseException | None = None
        if not await asyncio.to_thread(hooks.before_process, message):
            await asyncio.to_thread(hooks.after_skip, message)
            self._ended(attempt, None, None)
            return
        try:
            if executable.is_async:
                result = await executable.function(*call.args, **call.kwargs)
            else:
                result = await asyncio.to_thread(executable.function, *call.args, **call.kwargs)
        except BaseException as raised:  # noqa: BLE001 - whatever an actor raises is its outcome
            error = raised
            attempt.context.drop()  # what the hooks send from here on is theirs
        if not (attempt.released or attempt.forgotten):
            await asyncio.to_thread(hooks.after_process, message, result=result, exception=error)
        self._ended(attempt, result, error)

    # ── ending ───────────────────────────────────────────────────────────────────────────────────

    def _ended(self, attempt: Attempt, result: object, error: BaseException | None) -> None:
        if self.running.pop(attempt.lease.token, None) is None:
            return  # forgotten: its lease was lost, or it was released while it ran
        options = attempt.executable.options
        self._deadlines.remove(attempt, options.time_limit.total_seconds())
        self._settler.ran(attempt.lease.queue, self._loop.time() - attempt.began)
        follow_ups = attempt.context.seal()
        if error is None and not follow_ups and not attempt.header.flags:
            self._settler.ack(attempt.lease)
        else:
            self._settle(attempt, result, error, follow_ups)
        self._on_free()

    def _settle(
        self,
        attempt: Attempt,
        result: object,
        error: BaseException | None,
        follow_ups: tuple[Enqueue, ...],
    ) -> None:
        if attempt.released and isinstance(error, asyncio.CancelledError):
            self._settler.settle(Settlement(lease=attempt.lease, outcome=Outcome.RELEASE))
            return
        if attempt.expired and error is not None:
            limit = attempt.executable.options.time_limit
            error = TimeLimitExceeded(f"the attempt ran longer than {limit}").with_traceback(
                error.__traceback__
            )
        body: bytes | None = None
        if error is None and self._keeps_result(attempt):
            try:
                body = result_body(attempt.call.actor, result)
            except PayloadNotSerializable as refused:
                error = refused
        decided = self._decide(attempt, error)
        if decided.outcome is Outcome.ACK:
            if error is not None and self._keeps_result(attempt):
                body = result_body(attempt.call.actor, None)
            self._settler.settle(
                Settlement(
                    lease=attempt.lease,
                    outcome=Outcome.ACK,
                    result=self._record(attempt, body),
                    follow_ups=follow_ups,
                )
            )
            return
        assert error is not None  # noqa: S101 - only a failure is anything but an ack
        self._fail(attempt, error, decided, follow_ups)

    def _decide(self, attempt: Attempt, error: BaseException | None) -> Verdict:
        return verdict(
            attempt.executable.options,
            attempt=attempt.header.attempt,
            error=error,
            jitter=self._jitter(),
        )

    def _fail(
        self,
        attempt: Attempt,
        error: BaseException,
        decided: Verdict,
        follow_ups: tuple[Enqueue, ...],
    ) -> None:
        """Settle a failed attempt."""
        record = error_record(error)
        facts = {
            "queue": attempt.lease.queue,
            "actor": attempt.call.actor,
            "message_id": attempt.context.message_id,
            "attempt": attempt.header.attempt,
            "error": record["error"],
            "reason": record["message"],
        }
        if decided.outcome is Outcome.RETRY:
            log.info("message_retried", extra=facts | {"delay_ms": decided.delay_ms})
            self._settler.settle(
                Settlement(
                    lease=attempt.lease,
                    outcome=Outcome.RETRY,
                    delay_ms=decided.delay_ms,
                    follow_ups=follow_ups,
                )
            )
            return
        log.warning(
            "message_dead_lettered",
            extra=facts,
            exc_info=None if is_steering(error) or isinstance(error, Discard) else error,
        )
        self._dead_letter(
            attempt.lease,
            header=attempt.header,
            call=attempt.call,
            executable=attempt.executable,
            record=record,
            follow_ups=follow_ups,
        )

    def _bury(self, unfit: Unfit) -> None:
        log.warning(
            "message_dead_lettered",
            extra={
                "queue": unfit.lease.queue,
                "actor": unfit.call.actor if unfit.call else None,
                "error": unfit.error,
                "reason": unfit.detail,
            },
        )
        record = {"error": unfit.error, "message": unfit.detail}
        self._dead_letter(
            unfit.lease,
            header=unfit.header,
            call=unfit.call,
            executable=unfit.executable,
            record=record,
        )

    def _dead_letter(
        self,
        lease: Lease,
        *,
        header: Header | None,
        call: Call | None,
        executable: Executable | None,
        record: dict[str, Any],
        follow_ups: tuple[Enqueue, ...] = (),
    ) -> None:
        result: ResultRecord | None = None
        reason = dict(record)
        if header is not None and call is not None:
            reason |= {"actor": call.actor, "attempt": header.attempt}
            ttl_ms = executable.options.result_ttl_ms if executable else 600_000
            if header.flags & 1:
                result = ResultRecord(body=orjson.dumps(record), ttl_ms=ttl_ms)
            if executable is not None and executable.options.on_dead_letter is not None:
                actor = executable.options.on_dead_letter
                follow_ups += self._last_words(actor, header, call, record)
        self._settler.settle(
            Settlement(
                lease=lease,
                outcome=Outcome.DEAD_LETTER,
                reason=orjson.dumps(reason),
                result=result,
                follow_ups=follow_ups,
            )
        )

    def _last_words(
        self, actor: str, header: Header, call: Call, record: dict[str, Any]
    ) -> tuple[Enqueue, ...]:
        kwargs = dead_letter_kwargs(call.message_id(header), call, record)
        try:
            return (self._broker.follow_up(actor, kwargs, beside=header),)
        except OctoqueueError as error:
            log.error(  # noqa: TRY400 - the message says it all
                "dead_letter_actor_failed", extra={"actor": actor, "reason": str(error)}
            )
            return ()

    def _keeps_result(self, attempt: Attempt) -> bool:
        return bool(attempt.header.flags & 1)

    def _record(self, attempt: Attempt, body: bytes | None) -> ResultRecord | None:
        if body is None:
            return None
        return ResultRecord(body=body, ttl_ms=attempt.executable.options.result_ttl_ms)

    # ── interrupting ─────────────────────────────────────────────────────────────────────────────

    def _expire(self, attempt: Attempt) -> None:
        log.warning(
            "time_limit_exceeded",
            extra={
                "actor": attempt.call.actor,
                "message_id": attempt.context.message_id,
                "limit_seconds": attempt.executable.options.time_limit.total_seconds(),
            },
        )
        attempt.expired = True
        self._interrupt(attempt)

    def _interrupt(self, attempt: Attempt) -> None:
        if attempt.task is not None:
            attempt.task.cancel()
        else:
            self._threads.interrupt(attempt)

    def forget(self, token: LeaseToken) -> None:
        """Stop an attempt whose lease another worker has: what it does no longer counts."""
        attempt = self.running.pop(token, None)
        if attempt is not None:
            attempt.forgotten = True
            self._deadlines.remove(attempt, attempt.executable.options.time_limit.total_seconds())
            self._interrupt(attempt)
            self._on_free()

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
            attempt.forgotten = True
            self._settler.settle(Settlement(lease=attempt.lease, outcome=RELEASED.outcome))
        return len(attempts)

    def close(self) -> None:
        """Stop timers and threads."""
        self._deadlines.clear()
        self._threads.close()
