"""Schedule: at least so many workers between two cron moments.

A window is open when its end comes before its next start, as in KEDA's cron scaler. It is a floor,
never a ceiling; of several open windows the largest counts.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from octoqueue.primitives.cron import cron_from, next_tick

if TYPE_CHECKING:
    from collections.abc import Iterable

    from octoqueue.scaling.policy import FloorWindow

_MINUTE_MS = 60_000
_MOST_PAIRS = 400
_BEGIN_MS = 1_704_067_200_000
"""2024-01-01: a leap year, so that all dates are seen."""


def open_floor(floors: Iterable[FloorWindow], *, now_ms: int) -> FloorWindow | None:
    """Return the largest window that is open now; None when none is."""
    minute = now_ms // _MINUTE_MS
    found = [floor for floor in floors if _is_open(floor, minute)]
    return max(found, key=lambda floor: floor.workers, default=None)


def why_ambiguous(floor: FloorWindow) -> str:
    """Return why a window does not mean what it says; "" when it does.

    A window is open whenever its end comes before its next start. So two starts without an end
    between leave it closed until the second, and two ends without a start between keep it open
    until the later one: start `0 9 * * 1-5` with end `0 18 * * *` lasts over the weekend. Each
    start must have one end of its own. Looks at 400 windows or two years, from 2024 on.

    Raises:
        DeclarationError: an expression cannot be read, or the zone is unknown.
    """
    start, end = cron_from(floor.start, floor.timezone), cron_from(floor.end, floor.timezone)
    starts, ends = start.after(_BEGIN_MS), end.after(_BEGIN_MS)
    begin, until_ms = next(starts, None), _BEGIN_MS + 2 * 366 * 24 * 60 * _MINUTE_MS
    for _ in range(_MOST_PAIRS):
        finish = next((tick for tick in ends if begin is None or tick >= begin), None)
        following = next(starts, None)
        if begin is None or finish is None or begin > until_ms:
            return ""
        if begin == finish:
            return f"starts and ends at the same moment ({_told(begin, floor)})"
        if following is None:
            return ""
        if following <= finish:
            return f"starts again ({_told(following, floor)}) before it has ended"
        later = end.latest(1, after_ms=finish, until_ms=following - 1)
        if later:
            span = f"{_told(begin, floor)} to {_told(later[0], floor)}"
            return f"lasts from {span}, as it has more ends than starts"
        begin = following
    return ""


@lru_cache(maxsize=1_024)
def _is_open(floor: FloorWindow, minute: int) -> bool:
    now_ms = minute * _MINUTE_MS
    end = next_tick(cron_from(floor.end, floor.timezone), now_ms)
    start = next_tick(cron_from(floor.start, floor.timezone), now_ms)
    return end is not None and (start is None or end < start)


def _told(moment_ms: int, floor: FloorWindow) -> str:
    """Return a moment as the clock of the window's zone shows it."""
    return f"{datetime.fromtimestamp(moment_ms / 1000, tz=ZoneInfo(floor.timezone)):%a %H:%M}"
