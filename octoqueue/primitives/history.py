"""`PastAttempt`: how an attempt of a message ended that was tried again. Pure.

A store keeps some of them beside the message: the time in eight bytes, then what is made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import orjson

from octoqueue.primitives.envelope import unpack_header
from octoqueue.primitives.messages import Outcome, SessionId

if TYPE_CHECKING:
    from octoqueue.primitives.messages import Settlement

MOST_KEPT = 10
"""Attempts of one message that are remembered: the last ones."""
KEPT_FOR = timedelta(days=30)
"""How long, after the last of them, unless dead letters are kept for another time."""
MAX_MESSAGE_BYTES = 300

_TIME_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAttempt:
    """One attempt that ended in a retry."""

    attempt: int
    """Its number; 0 is the first."""
    ended_at_ms: int
    """When, by the store's clock."""
    error: str | None
    """Class name of what the actor raised, None when nobody said."""
    message: str
    """Its message, cut to 300 bytes."""
    session: SessionId
    """Which worker ran it."""


def record_of(settlement: Settlement, session: SessionId) -> bytes:
    """Return what is remembered of an attempt, empty when its message is not tried again."""
    is_retry = settlement.outcome is Outcome.RETRY
    if not is_retry and not (settlement.outcome is Outcome.ACK and settlement.reason):
        return b""
    reason = _reason_in(settlement.reason)
    error = reason.get("error")
    return orjson.dumps(
        {
            "attempt": unpack_header(settlement.lease.payload).attempt,
            "error": None if error is None else _cut(error),
            "message": _cut(reason.get("message", "")),
            "session": session,
        }
    )


def stamped(record: bytes, ended_at_ms: int) -> bytes:
    """Return a record as a store keeps it; `commit.lua` does the same."""
    return ended_at_ms.to_bytes(_TIME_BYTES) + record


def past_attempt_from(kept: bytes) -> PastAttempt:
    """Return the attempt in a stamped record."""
    told = orjson.loads(kept[_TIME_BYTES:])
    return PastAttempt(
        attempt=told["attempt"],
        ended_at_ms=int.from_bytes(kept[:_TIME_BYTES]),
        error=told["error"],
        message=told["message"],
        session=SessionId(told["session"]),
    )


def _reason_in(reason: bytes) -> dict[str, Any]:
    try:
        told: Any = orjson.loads(reason)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _cut(text: object) -> str:
    return str(text).encode()[:MAX_MESSAGE_BYTES].decode(errors="ignore")
