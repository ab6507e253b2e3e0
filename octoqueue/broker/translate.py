"""dramatiq `Message` to `Enqueue`, and a claimed `Call` back to a `Message`. Pure."""

from __future__ import annotations

from math import isfinite
from typing import Any, TypeGuard

from dramatiq.common import q_name
from dramatiq.message import Message

from octoqueue.broker.encoding import own_encoder, sealed
from octoqueue.broker.sending_clock import SENDING_CLOCK
from octoqueue.errors import InvalidMessage
from octoqueue.primitives.envelope import (
    Call,
    Flag,
    Header,
    encode_body,
    encode_fields,
    fresh_header,
)
from octoqueue.primitives.ids import MessageId, id_from_text, new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue

_UUID7 = 7
_EXTENDED = int(Flag.EXTENDED)
MAX_DELAY_MS = 366 * 86_400_000


def lane_from_priority(priority: int) -> Lane:
    """Return the lane of a dramatiq priority: below 0 high, 0 normal, above 0 low."""
    if priority < 0:
        return Lane.HIGH
    return Lane.NORMAL if priority == 0 else Lane.LOW


def header_id(message_id: str, *, beside: bytes | None) -> tuple[MessageId, str | None]:
    """Return the id for the header, and the program's own id when it is another.

    Our ids are uuid7 and stand in the header as they are, unless the message must go to the
    partition of the one it follows (or of its key, or its tenant) and its id does not: then with
    the affinity of that, so that a message has the same id in the header whenever it is sent.
    """
    known = id_from_text(message_id)
    if known is None or known[6] >> 4 != _UUID7:
        return new_message_id(beside=beside), message_id
    if beside is None or known[-2:] == beside[-2:]:
        return known, None
    return MessageId(known[:-2] + beside[-2:]), message_id


def delay_of(message: Message[Any], delay_ms: int) -> int:
    """Return the longest of `delay_ms`, the delay a message of a group has, and a delay queue's.

    A message from one of dramatiq's delay queues says when it is due in its option `eta`.

    Raises:
        InvalidMessage: its own delay is no number.
    """
    if not message.options:
        return delay_ms
    own_ms, eta = message.options.get("delay"), message.options.get("eta")
    if own_ms is not None:
        if not _is_time(own_ms):
            raise InvalidMessage("delay", f"{own_ms!r} is no number of milliseconds")
        delay_ms = max(delay_ms, round(own_ms))
    return max(delay_ms, round(eta) - SENDING_CLOCK.now_ms()) if _is_time(eta) else delay_ms


def _is_time(eta: object) -> TypeGuard[float]:
    return isinstance(eta, (int, float)) and not isinstance(eta, bool) and isfinite(eta)


def _without_eta(options: dict[str, Any]) -> dict[str, Any]:
    """The store keeps the time; an `eta` that is none stays, for dramatiq's worker to warn of."""
    if _is_time(options.get("eta")):
        return {name: value for name, value in options.items() if name != "eta"}
    return options


def enqueue_from(  # noqa: PLR0917 - called for every message, so by position
    message: Message[Any],
    lane: Lane,
    flags: int,
    delay_ms: int,
    limit_bytes: int,
    beside: bytes | None = None,
    *,
    extension: bytes = b"",
    refuse_duplicates: bool = False,
) -> Enqueue:
    """Return what a store needs to take `message`.

    Raises:
        InvalidMessage: the delay is negative or longer than a year.
        PayloadNotSerializable: an argument has no JSON form.
        EnvelopeTooLarge: the body is over the limit.
    """
    if not 0 <= delay_ms <= MAX_DELAY_MS:
        raise InvalidMessage("delay", f"{delay_ms} ms is not between 0 and {MAX_DELAY_MS}")
    queue = q_name(message.queue_name)  # not a delay queue: we have none
    own_id: str | None = None
    ident: MessageId | None = getattr(message, "header_id", None)
    if ident is None or (beside is not None and ident[-2:] != beside[-2:]):
        ident, own_id = header_id(message.message_id, beside=beside)
    options = _without_eta(message.options) if message.options else message.options
    actor, args, kwargs = message.actor_name, message.args, message.kwargs
    sent_ms = message.message_timestamp
    if own_encoder() is None:
        body = encode_fields(
            queue, actor, args, kwargs, options, sent_ms, own_id, limit_bytes=limit_bytes
        )
    else:
        call = Call(queue, actor, list(args), kwargs, options, sent_ms, own_id)
        body = encode_body(sealed(call, message.message_id), limit_bytes=limit_bytes)
    if not extension:
        payload = fresh_header(lane, flags, ident) + body
    else:
        payload = fresh_header(lane, flags | _EXTENDED, ident) + extension + body
    return Enqueue(queue, lane, payload, delay_ms, refuse_duplicates)


def message_from(header: Header, call: Call) -> Message[Any]:
    """Return the dramatiq message for middleware and the stock worker."""
    options = dict(call.options)
    if header.attempt:
        options["retries"] = header.attempt
    return Message(
        queue_name=call.queue,
        actor_name=call.actor,
        args=tuple(call.args),
        kwargs=call.kwargs,
        options=options,
        message_id=call.message_id(header),
        message_timestamp=call.created_at_ms,
    )
