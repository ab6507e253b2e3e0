"""When a message is no longer worth running: `expires` and `deadline`, as moments.

A program gives a `timedelta` (for `expires`, from the moment the message is built) or an aware
`datetime`; in the message stand milliseconds since the epoch, as `expires_at` and `deadline_at`.
Both are compared by the clock of the worker: they are as exact as the clocks agree.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from octoqueue.errors import DeadlineExceeded, InvalidMessage, MessageExpired, OctoqueueError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octoqueue.primitives.envelope import Call

MOMENTS: Mapping[str, str] = {"expires": "expires_at", "deadline": "deadline_at"}
"""The option as it is given, and as it stands in the message."""

_MILLISECOND = timedelta(milliseconds=1)
_LATEST_MS = 253_402_300_799_999
"""The end of the year 9999."""


def with_moments(options: Mapping[str, Any], *, now_ms: int) -> dict[str, Any]:
    """Return message options with `expires` and `deadline` as moments.

    Raises:
        InvalidMessage: one of them is impossible; names it.
    """
    settled = {name: value for name, value in options.items() if name not in MOMENTS}
    for given, kept in MOMENTS.items():
        value = options.get(given)
        if value is not None:
            settled[kept] = _moment_ms(given, value, now_ms)
    return settled


def require_time_left(field: str, value: timedelta | datetime | None, *, now_ms: int) -> None:
    """Refuse a moment that is over.

    Raises:
        InvalidMessage: it is, or it is no moment.
    """
    if value is not None and _moment_ms(field, value, now_ms) <= now_ms:
        raise InvalidMessage(field, f"{value} is over already")


def _moment_ms(field: str, value: object, now_ms: int) -> int:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidMessage(field, f"{value} has no time zone")
        return round(value.timestamp() * 1000)
    if field == "deadline":
        raise InvalidMessage(field, f"{value!r} is no aware datetime")
    if isinstance(value, timedelta):
        milliseconds: float = value / _MILLISECOND
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        milliseconds = value  # as dramatiq counts
    else:
        raise InvalidMessage(field, f"{value!r} is neither a timedelta nor an aware datetime")
    if not 0 < milliseconds <= _LATEST_MS - now_ms:
        raise InvalidMessage(field, f"{value!r} is not a time from now on")
    return now_ms + round(milliseconds)


def moment_in(options: Mapping[str, Any], name: str) -> int | None:
    """Return a moment that stands in a message, None when there is none.

    Raises:
        InvalidMessage: something else stands there.
    """
    value: object = options.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LATEST_MS:
        raise InvalidMessage(name, f"{str(value)[:20]!r} is no moment in milliseconds")
    return value


class Ends(NamedTuple):
    """When a message ends by itself, in ms since the epoch."""

    first_ms: int
    """No attempt begins from then on."""
    deadline_ms: int | None


def ends_of(call: Call, expires_ms: int | None) -> Ends | None:
    """Return when a message ends by itself; `expires_ms` is how long its actor allows it to wait.

    Raises:
        InvalidMessage: a moment in the message is none.
    """
    deadline_ms = moment_in(call.options, MOMENTS["deadline"])
    expires_at_ms = moment_in(call.options, MOMENTS["expires"])
    if expires_at_ms is None and expires_ms is not None:
        expires_at_ms = call.created_at_ms + expires_ms
    moments = [moment for moment in (deadline_ms, expires_at_ms) if moment is not None]
    return Ends(min(moments), deadline_ms) if moments else None


def too_late(ends: Ends | None, *, now_ms: int) -> OctoqueueError | None:
    """Return why a message is not begun any more, None while it may be."""
    if ends is None or now_ms < ends.first_ms:
        return None
    told = DeadlineExceeded if ends.first_ms == ends.deadline_ms else MessageExpired
    late_ms = now_ms - ends.first_ms
    return told(f"it was not started in time; a worker took it {late_ms} ms late")
