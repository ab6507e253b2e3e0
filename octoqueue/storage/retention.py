"""Which objects are kept for how long, told by their keys. Pure.

The key of a result holds the day on which it expires, so that whole days are deleted without
looking at an object.
"""

from __future__ import annotations

import secrets
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from octoqueue.primitives.ids import text_from_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from octoqueue.primitives.ids import MessageId

RESULTS = "results"
"""The folder of results."""

_GRACE = timedelta(days=1)
"""The record is committed after its object, and so lives a little longer; clocks disagree, too."""


def result_key(message_id: MessageId, *, expires_at_ms: int) -> str:
    """Return a new key for a result; another attempt of the message gets another."""
    day = _day_of(expires_at_ms)
    return f"{RESULTS}/{day.isoformat()}/{text_from_id(message_id)}-{secrets.token_hex(4)}"


def expired_days(folders: Iterable[str], *, now_ms: int) -> list[str]:
    """Return which of these folders hold nothing that is still to be kept, the oldest first.

    What is no day is left alone.
    """
    days = {folder: _day_from(folder) for folder in folders}
    last = _day_of(now_ms) - _GRACE
    return sorted(folder for folder, day in days.items() if day is not None and day < last)


def _day_of(milliseconds: int) -> date:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC).date()


def _day_from(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None
