"""What the end of an attempt adds to the events of its message. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from octoqueue.primitives.envelope import Flag, unpack_header
from octoqueue.primitives.events import EventKind, Told, encoded
from octoqueue.primitives.messages import Outcome

if TYPE_CHECKING:
    from octoqueue.primitives.body_json import Json
    from octoqueue.primitives.messages import SessionId, Settlement

_FLAGS_AT = 3
_EVENTS = int(Flag.EVENTS)

_ENDS = {Outcome.ACK: "succeeded", Outcome.DEAD_LETTER: "dead", Outcome.CANCEL: "cancelled"}


def last_words(settlement: Settlement, session: SessionId, *, at_ms: int) -> Told | None:
    """Return the events to commit with a settlement: those not yet stored, and its own.

    None for a message that keeps none. A release adds none of its own: the next attempt says that
    it starts.
    """
    if not settlement.lease.payload[_FLAGS_AT] & _EVENTS:
        return None
    header = unpack_header(settlement.lease.payload)
    told = settlement.events or Told(sender=_sender(settlement, session), first=1, events=())
    closing = _closing(settlement, header.attempt)
    if closing is None:
        return told if told.events else None
    kind, data = closing
    body = encoded(kind, attempt=header.attempt, at_ms=at_ms, data=data, actor="")
    return Told(sender=told.sender, first=told.first, events=(*told.events, body))


def _sender(settlement: Settlement, session: SessionId) -> str:
    return f"{session}:{settlement.lease.token[16:].hex()}"


def _closing(settlement: Settlement, attempt: int) -> tuple[EventKind, Json] | None:
    outcome = settlement.outcome
    ident = settlement.lease.message_id
    again = [message for message in settlement.follow_ups if message.message_id == ident]
    if outcome is Outcome.RETRY or again:  # dramatiq's own worker enqueues its retries
        delay_ms = again[0].delay_ms if again else settlement.delay_ms
        return EventKind.RETRY, {"attempt": attempt + 1, "delay_ms": delay_ms}
    if outcome is Outcome.SNOOZE:
        return EventKind.SNOOZED, {"delay_ms": settlement.delay_ms}
    if outcome is Outcome.RELEASE:
        return None
    return EventKind.ENDED, {"outcome": _ENDS[outcome], **_failure(settlement.reason)}


def _failure(reason: bytes) -> dict[str, Json]:
    """Return class name and message of what a dead letter died of."""
    try:
        told = orjson.loads(reason)
        return {"error": told["error"], "message": told["message"]}
    except (ValueError, KeyError, TypeError):
        return {}
