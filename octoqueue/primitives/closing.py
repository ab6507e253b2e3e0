"""What the end of an attempt adds to the events of its message. Pure."""

from __future__ import annotations

from dataclasses import dataclass
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

_ENDS = {
    Outcome.ACK: "succeeded",
    Outcome.DEAD_LETTER: "dead",
    Outcome.CANCEL: "cancelled",
    Outcome.EXPIRE: "expired",
}


def tells_events(payload: bytes) -> bool:
    """Whether the envelope is of a message that tells events."""
    return bool(payload[_FLAGS_AT] & _EVENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastWords:
    """What is committed with the end of an attempt."""

    told: Told
    """What may not be stored yet."""
    closing: bytes
    """How the attempt ended; empty when nothing is to be said of that."""
    if_cancelled: bytes
    """What is said instead when the message turns out to be cancelled."""

    def events(self, *, is_cancelled: bool) -> Told:
        """Return all of it."""
        closing = self.if_cancelled if is_cancelled else self.closing
        events = (*self.told.events, closing) if closing else self.told.events
        return Told(sender=self.told.sender, first=self.told.first, events=events)


def last_words(settlement: Settlement, session: SessionId, *, at_ms: int) -> LastWords:
    """Return the events to commit with the settlement of a message that tells events.

    A release says nothing of its own: the next attempt says that it starts.
    """
    attempt = unpack_header(settlement.lease.payload).attempt

    def said(kind: EventKind, data: Json) -> bytes:
        return encoded(kind, attempt=attempt, at_ms=at_ms, data=data, actor="")

    closing = _closing(settlement, attempt)
    return LastWords(
        told=settlement.events or Told(sender=_sender(settlement, session), first=1, events=()),
        closing=said(*closing) if closing else b"",
        if_cancelled=said(EventKind.ENDED, {"outcome": _ENDS[Outcome.CANCEL]}),
    )


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
