"""`Endings`: from how an attempt ended to how its lease is settled.

`judge` decides and may be called in any thread; `settlement` writes down what was decided. A
failure drops what the actor has sent; a failure that can only repeat itself (a result without a
JSON form, a rejection by middleware) is not tried again.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from octoqueue.broker.completions import completed, ended, is_step
from octoqueue.broker.executables import proxy_from
from octoqueue.broker.interrupts import is_shutdown
from octoqueue.broker.records import dead_letter_kwargs, error_record, reason_of, result_body
from octoqueue.broker.steering import is_steering
from octoqueue.errors import (
    Cancelled,
    DeadlineExceeded,
    MessageRejected,
    OctoqueueError,
    PayloadNotSerializable,
    ResultTooLarge,
    TimeLimitExceeded,
)
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.envelope import Flag
from octoqueue.primitives.messages import Enqueue, Outcome, ResultRecord, Settlement
from octoqueue.runtime.verdict import (
    ACKED,
    CANCELLED,
    DEAD,
    EXHAUSTED,
    EXPIRED,
    RELEASED,
    Ending,
    Verdict,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.broker.options import ActorOptions
    from octoqueue.primitives.envelope import Call, Header
    from octoqueue.primitives.messages import Lease
    from octoqueue.runtime.attempt import Attempt
    from octoqueue.runtime.starting import Unfit

log = logging.getLogger(__name__)

DEFAULT_RESULT_TTL_MS = 600_000
"""How long the failure of a message is kept when its actor is not known here."""


class Endings:
    """Judges attempts and writes their settlements."""

    def __init__(
        self, broker: LaneBroker, *, jitter: Callable[[], float], clock: Clock | None = None
    ) -> None:
        self._broker = broker
        self._jitter = jitter
        self._clock = clock or SystemClock()

    def judge(self, attempt: Attempt, result: object, error: BaseException | None) -> Ending:
        """Decide what becomes of a message whose actor returned or raised."""
        if error is None:
            return self._judge_result(attempt, result)
        attempt.context.drop()
        if attempt.cancelled is not None:
            stopped = Cancelled(attempt.cancelled).with_traceback(error.__traceback__)
            return Ending(CANCELLED, stopped)
        if is_steering(error):
            pass  # a wish, also when it was made while being stopped
        elif attempt.released or _gave_way(attempt, error):
            return Ending(RELEASED)
        elif attempt.overdue:
            late = DeadlineExceeded().with_traceback(error.__traceback__)
            return Ending(EXPIRED if attempt.entered is None else DEAD, late)
        elif attempt.expired:
            error = TimeLimitExceeded(
                f"the attempt ran longer than {attempt.options.time_limit}"
            ).with_traceback(error.__traceback__)
        decided = self._verdict(attempt, error)
        if decided.outcome is not Outcome.ACK:
            return Ending(decided, error)
        body = result_body("", None) if _keeps_result(attempt.header) else None
        return Ending(decided, error, body, self._completed(attempt, None))

    def _judge_result(self, attempt: Attempt, result: object) -> Ending:
        is_kept = _keeps_result(attempt.header)
        if not is_kept and not attempt.call.options:
            return Ending(ACKED)
        try:
            letters = self._completed(attempt, result) if attempt.call.options else ()
            if not is_kept:
                return Ending(ACKED, letters=letters)
            body = result_body(attempt.call.actor, result)
            self._broker.claim_checks.require_fitting(attempt.call.actor, body)
            return Ending(ACKED, body=body, letters=letters)
        except (PayloadNotSerializable, ResultTooLarge) as refused:
            attempt.context.drop()
            return Ending(DEAD, refused)

    def _completed(self, attempt: Attempt, value: object) -> tuple[Enqueue, ...]:
        """Return what is told of a success when the message is a step of a workflow."""
        if not is_step(attempt.call):
            return ()
        limit_bytes, now_ms = self._broker.defaults.max_value_bytes, self._clock.now_ms()
        return completed(
            attempt.call, attempt.lease.payload, value, now_ms=now_ms, limit_bytes=limit_bytes
        )

    def _verdict(self, attempt: Attempt, error: BaseException) -> Verdict:
        options, count, jitter = attempt.options, attempt.header.attempt, self._jitter()
        try:
            decided = verdict(options, attempt=count, error=error, jitter=jitter)
        except Exception:
            log.exception("retry_when_failed", extra={"actor": attempt.call.actor})
            options = replace(options, retry_when=None)
            decided = verdict(options, attempt=count, error=error, jitter=jitter)
        if decided.outcome is Outcome.RETRY and attempt.ends_ms is not None:
            again_ms = self._clock.now_ms() + decided.delay_ms
            return decided if again_ms < attempt.ends_ms else EXHAUSTED
        return decided

    def rejected(self, attempt: Attempt, ending: Ending) -> Ending:
        """Return the ending of a message that middleware has marked as failed."""
        if ending.verdict.outcome is Outcome.DEAD_LETTER:
            return ending
        attempt.context.drop()
        return Ending(DEAD, ending.error or MessageRejected())

    def settlement(
        self, attempt: Attempt, ending: Ending, follow_ups: tuple[Enqueue, ...]
    ) -> Settlement:
        """Return what to commit for an attempt that is over."""
        outcome = ending.verdict.outcome
        if outcome is Outcome.RELEASE:
            return Settlement(lease=attempt.lease, outcome=outcome)
        if outcome is Outcome.ACK:
            ttl_ms = attempt.options.result_ttl_ms
            kept = None if ending.body is None else ResultRecord(body=ending.body, ttl_ms=ttl_ms)
            return Settlement(
                lease=attempt.lease,
                outcome=outcome,
                result=kept,
                follow_ups=follow_ups + ending.letters,
            )
        assert ending.error is not None  # noqa: S101 - all else is a failure
        return self._failure(attempt, ending.verdict, ending.error, follow_ups)

    def _failure(
        self,
        attempt: Attempt,
        decided: Verdict,
        error: BaseException,
        follow_ups: tuple[Enqueue, ...],
    ) -> Settlement:
        record = error_record(error)
        facts = {
            "queue": attempt.lease.queue,
            "actor": attempt.call.actor,
            "message_id": attempt.context.message_id,
            "attempt": attempt.header.attempt,
            "error": record["error"],
            "reason": record["message"],
        }
        if decided.outcome in (Outcome.RETRY, Outcome.SNOOZE):
            told = "message_retried" if decided.outcome is Outcome.RETRY else "message_snoozed"
            log.info(told, extra=facts | {"delay_ms": decided.delay_ms})
            return Settlement(
                lease=attempt.lease,
                outcome=decided.outcome,
                delay_ms=decided.delay_ms,
                reason=orjson.dumps(reason_of(error)),
                follow_ups=follow_ups,
            )
        if decided.outcome in (Outcome.CANCEL, Outcome.EXPIRE):
            was_cancelled = decided.outcome is Outcome.CANCEL
            log.info("message_cancelled" if was_cancelled else "message_expired", extra=facts)
            return self._gone(
                attempt.lease,
                attempt.header,
                attempt.call,
                decided.outcome,
                options=attempt.options,
                record=record,
            )
        if decided.is_exhausted:
            follow_ups += self._told(attempt)
        shown = None if is_steering(error) else error
        log.warning("message_dead_lettered", extra=facts, exc_info=shown)
        return self._dead_letter(
            attempt.lease,
            attempt.header,
            attempt.call,
            options=attempt.options,
            record=record,
            follow_ups=follow_ups,
        )

    def burial(self, unfit: Unfit) -> Settlement:
        """Return what to commit for a message that cannot run."""
        facts = {
            "queue": unfit.lease.queue,
            "actor": unfit.call.actor if unfit.call else None,
            "error": unfit.error,
            "reason": unfit.message,
        }
        record = {"error": unfit.error, "message": unfit.message}
        options = unfit.executable.options if unfit.executable else None
        if unfit.dropped and unfit.header is not None:
            log.info("message_expired", extra=facts)
            return self._gone(
                unfit.lease,
                unfit.header,
                unfit.call,
                Outcome.EXPIRE,
                options=options,
                record=record,
                never_ran=True,
            )
        log.warning("message_dead_lettered", extra=facts)
        return self._dead_letter(
            unfit.lease,
            unfit.header,
            unfit.call,
            options=options,
            record=record,
            never_ran=True,
        )

    def _gone(
        self,
        lease: Lease,
        header: Header,
        call: Call | None,
        outcome: Outcome,
        *,
        options: ActorOptions | None,
        record: dict[str, Any],
        never_ran: bool = False,
    ) -> Settlement:
        """Return the end of a message that leaves nothing but, if wanted, its error."""
        return Settlement(
            lease=lease,
            outcome=outcome,
            result=_failed(header, options, record),
            follow_ups=self._letters(lease, header, call, outcome, record, never_ran=never_ran),
        )

    def _dead_letter(
        self,
        lease: Lease,
        header: Header | None,
        call: Call | None,
        *,
        options: ActorOptions | None,
        record: dict[str, Any],
        follow_ups: tuple[Enqueue, ...] = (),
        never_ran: bool = False,
    ) -> Settlement:
        reason = {name: value for name, value in record.items() if name != "types"}
        result = None if header is None else _failed(header, options, record)
        if header is not None and call is not None:
            reason |= {"actor": call.actor, "attempt": header.attempt}
            if options is not None:
                follow_ups += self._last_words(options, header, call, record)
            dead = Outcome.DEAD_LETTER
            follow_ups += self._letters(lease, header, call, dead, record, never_ran=never_ran)
        return Settlement(
            lease=lease,
            outcome=Outcome.DEAD_LETTER,
            reason=orjson.dumps(reason),
            result=result,
            follow_ups=follow_ups,
        )

    def _letters(
        self,
        lease: Lease,
        header: Header,
        call: Call | None,
        outcome: Outcome,
        record: dict[str, Any],
        *,
        never_ran: bool,
    ) -> tuple[Enqueue, ...]:
        """Return what is told of a failure when the message is a step of a workflow."""
        if call is None or not is_step(call):
            return ()
        attempts = header.attempt + header.deliveries if never_ran else header.attempt + 1
        now_ms = self._clock.now_ms()
        return ended(call, lease.payload, outcome, record, now_ms=now_ms, attempts=attempts)

    def _last_words(
        self, options: ActorOptions, header: Header, call: Call, record: dict[str, Any]
    ) -> tuple[Enqueue, ...]:
        """Return the message for the actor named by `on_dead_letter`."""
        if options.on_dead_letter is None:
            return ()
        ident = call.message_id(header)
        kwargs = dead_letter_kwargs(ident, call, record, attempt=header.attempt)
        return self._follow_up(options.on_dead_letter, header, kwargs=kwargs)

    def _told(self, attempt: Attempt) -> tuple[Enqueue, ...]:
        """Return the message for the actor named by dramatiq's `on_retry_exhausted`."""
        options, header = attempt.options, attempt.header
        if options.on_retry_exhausted is None:
            return ()
        counts = {"retries": header.attempt, "max_retries": options.retry.max_retries}
        message = proxy_from(header, attempt.call).asdict()
        return self._follow_up(options.on_retry_exhausted, header, args=(message, counts))

    def _follow_up(
        self,
        actor: str,
        header: Header,
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> tuple[Enqueue, ...]:
        try:
            return (self._broker.follow_up(actor, args, kwargs or {}, beside=header),)
        except OctoqueueError as error:
            facts = {"actor": actor, "reason": str(error)}
            log.error("dead_letter_actor_failed", extra=facts)  # noqa: TRY400 - it says it all
            return ()


def _failed(
    header: Header, options: ActorOptions | None, record: dict[str, Any]
) -> ResultRecord | None:
    """Return an error as the result, when somebody may ask for it."""
    if not _keeps_result(header):
        return None
    ttl_ms = options.result_ttl_ms if options else DEFAULT_RESULT_TTL_MS
    return ResultRecord(body=orjson.dumps(record), ttl_ms=ttl_ms)


def _gave_way(attempt: Attempt, error: BaseException) -> bool:
    """Whether an actor has let itself be interrupted by the shutdown, and is to run again."""
    return attempt.notified and is_shutdown(error) and not isinstance(error, attempt.options.throws)


def _keeps_result(header: Header) -> bool:
    return bool(header.flags & Flag.KEEP_RESULT)
