"""What is told of the end of a step's message, to be committed with that end. Pure.

A message that is tried again tells nothing yet. One that leaves its queue without an attempt that
ended (removed by who cancelled it, flushed, purged) tells nothing at all; the reconciler finds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from octoqueue.broker.records import reason_of, types_of
from octoqueue.broker.step_places import proven_place
from octoqueue.errors import (
    EnvelopeError,
    EnvelopeTooLarge,
    PayloadNotSerializable,
    ResultTooLarge,
)
from octoqueue.primitives.body_json import MARK
from octoqueue.primitives.envelope import HEADER_BYTES, decode_body, unpack_header
from octoqueue.primitives.messages import Outcome
from octoqueue.workflows.letters import OPTION, Completion, completion_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octoqueue.broker.step_places import StepPlace
    from octoqueue.primitives.body_json import Json
    from octoqueue.primitives.envelope import Call, Header
    from octoqueue.primitives.messages import Enqueue, Lease
    from octoqueue.workflows.letters import Outcome as Told

_AROUND_BYTES = 4_096
"""What an envelope holds beside the value."""
_ERROR_BYTES = 1 << 20
_MARK = MARK[0]
_OUTCOMES: Mapping[Outcome, Told] = {
    Outcome.DEAD_LETTER: "failed",
    Outcome.CANCEL: "cancelled",
    Outcome.EXPIRE: "expired",
}


def is_step(call: Call) -> bool:
    """Whether somebody is to be told how a message ends."""
    return OPTION in call.options


def completed(
    call: Call, payload: bytes, value: Json, *, now_ms: int, limit_bytes: int
) -> tuple[Enqueue, ...]:
    """Return what is told when an attempt succeeded; nothing when the message is no step.

    Raises:
        PayloadNotSerializable: the value has no JSON form that all readers agree on.
        ResultTooLarge: it is over the limit.
    """
    place = proven_place(call.options, payload)
    if place is None:
        return ()
    header = unpack_header(payload)
    told = Completion(
        place.execution_id, place.step, "completed", value=value, attempts=header.attempt + 1
    )
    try:
        letter = _letter(told, place, header, now_ms=now_ms, limit_bytes=limit_bytes)
    except EnvelopeTooLarge as error:
        raise ResultTooLarge(
            call.actor,
            result_bytes=error.payload_bytes - _AROUND_BYTES,
            limit_bytes=limit_bytes,
            setting="workflows.max_value_bytes",
        ) from None
    except PayloadNotSerializable as error:
        raise PayloadNotSerializable(call.actor, reason=f"its result: {error.reason}") from None
    if letter.payload[HEADER_BYTES] == _MARK:
        raise PayloadNotSerializable(
            call.actor,
            reason="its result holds a number that is not finite, one of more than 64 bits, or a "
            "key that is no string",
        )
    return (letter,)


def ended(
    call: Call,
    payload: bytes,
    outcome: Outcome,
    record: Mapping[str, Any],
    *,
    now_ms: int,
    attempts: int | None = None,
) -> tuple[Enqueue, ...]:
    """Return what is told when a message ended for good without success; nothing of other ends.

    `record` holds `error`, `message` and perhaps `types`.
    """
    if outcome not in _OUTCOMES:
        return ()
    place = proven_place(call.options, payload)
    if place is None:
        return ()
    header = unpack_header(payload)
    error = {
        "error": record["error"],
        "message": record["message"],
        "types": list(record.get("types") or (record["error"],)),
    }
    told = Completion(
        place.execution_id,
        place.step,
        _OUTCOMES[outcome],
        error=error,
        attempts=header.attempt + 1 if attempts is None else attempts,
    )
    return (_letter(told, place, header, now_ms=now_ms, limit_bytes=_ERROR_BYTES),)


def died_of(lease: Lease, error: BaseException, *, now_ms: int) -> tuple[Enqueue, ...]:
    """Return what is told of a lease that ends as a dead letter because of `error`."""
    try:
        unpack_header(lease.payload)
        call = decode_body(lease.payload)
    except EnvelopeError:
        return ()
    record: dict[str, Any] = {**reason_of(error), "types": types_of(error)}
    return ended(call, lease.payload, Outcome.DEAD_LETTER, record, now_ms=now_ms)


def _letter(
    told: Completion, place: StepPlace, header: Header, *, now_ms: int, limit_bytes: int
) -> Enqueue:
    return completion_message(
        told,
        to=place.to,
        lane=header.lane,
        beside=header.message_id,
        now_ms=now_ms,
        limit_bytes=limit_bytes + _AROUND_BYTES,
    )
