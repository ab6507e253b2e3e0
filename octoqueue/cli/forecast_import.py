"""Reading a trace into the history of a queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from octoqueue.errors import ConfigError, TraceInvalid
from octoqueue.fleet.opening import policies_of
from octoqueue.postgres.minutes import KEPT_FOR, MinuteArrivals, Minutes
from octoqueue.primitives.clock import SystemClock
from octoqueue.scaling.simulator.reading import read_trace
from octoqueue.scaling.simulator.traces import StepTrace, Trace
from octoqueue.workflows.database import opened_database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from octoqueue.settings.root import Settings

_MINUTE_MS: Final = 60_000
_WEEK_MS: Final = 7 * 1440 * _MINUTE_MS
_AT_ONCE: Final = 5_000
_MOST_A_MINUTE: Final = 2**31 - 1
"""The column is an integer of four bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of a file."""

    minutes: int
    added: int
    """Minutes of which nothing was known before."""
    moved_weeks: int
    fleets: tuple[str, ...]
    """Those whose forecasts learn anew."""


async def import_arrivals(settings: Settings, path: Path, *, queue: str, recent: bool) -> Imported:
    """Add the minutes of a trace to the history of a queue.

    Args:
        settings: where the database is.
        path: the file.
        queue: whose arrivals they are to be.
        recent: move them by whole weeks, so that they end within the last week.

    Raises:
        ConfigError: no fleet serves the queue, so nobody would learn from it.
        TraceInvalid: it is no trace, or all of it is older than history is kept, or from the
            future, or a minute has more than history can count.
    """
    served = {name for policy in policies_of(settings).values() for name in policy.queues}
    if queue not in served:
        listed = ", ".join(sorted(served)) or "none"
        raise ConfigError(f"--queue: no fleet serves {queue!r} (served are: {listed})")
    now_ms = SystemClock().now_ms() // _MINUTE_MS * _MINUTE_MS
    minutes = minutes_of(_trace_from(path))
    moved = weeks_between(minutes, now_ms) if recent else 0
    kept_ms = KEPT_FOR // timedelta(milliseconds=1)
    wanted = [
        MinuteArrivals(at_ms, minute.arrivals)
        for minute in minutes
        if now_ms - kept_ms < (at_ms := minute.starts_at_ms + moved * _WEEK_MS) < now_ms
    ]
    if not wanted:
        raise TraceInvalid(
            str(path),
            f"none of its minutes is of the last {KEPT_FOR.days} days, and history keeps no "
            "others; --recent moves them by whole weeks",
        )
    most = max(wanted, key=lambda minute: minute.arrivals)
    if most.arrivals > _MOST_A_MINUTE:
        raise TraceInvalid(
            str(path),
            f"{most.arrivals:,} messages in one minute are more than the {_MOST_A_MINUTE:,} that "
            "history can count",
            field="count",
        )
    async with opened_database(settings, application_name="octoqueue forecast") as pool:
        history = Minutes(pool)
        added = 0
        for first in range(0, len(wanted), _AT_ONCE):
            added += await history.import_arrivals(queue, wanted[first : first + _AT_ONCE])
        # Also when nothing was added: who did it before may have died here.
        fleets = await history.forget_forecasts(queue)
    return Imported(minutes=len(minutes), added=added, moved_weeks=moved, fleets=tuple(fleets))


def minutes_of(trace: Trace) -> list[MinuteArrivals]:
    """Return what a trace says of each of its minutes."""
    if isinstance(trace, StepTrace):
        steps = np.arange(len(trace.messages))
        moments = trace.starts_at_ms + steps * trace.step_seconds * 1000
        counts = trace.messages
    else:
        moments = trace.starts_at_ms + trace.arrived_seconds * 1000
        counts = np.ones(len(moments))
    if not len(moments):
        return []
    places = (moments // _MINUTE_MS).astype(np.int64)
    first = int(places[0])
    sums = np.bincount(places - first, weights=counts)
    return [
        MinuteArrivals((first + index) * _MINUTE_MS, round(float(each)))
        for index, each in enumerate(sums)
    ]


def _trace_from(path: Path) -> Trace:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return read_trace(lines, source=str(path))
    except OSError as error:
        raise TraceInvalid(str(path), f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise TraceInvalid(str(path), "it is not UTF-8 text") from None


def weeks_between(minutes: Sequence[MinuteArrivals], now_ms: int) -> int:
    """Return by how many whole weeks the minutes can be moved so that they end before now."""
    if not minutes:
        return 0
    return (now_ms - minutes[-1].starts_at_ms - _MINUTE_MS) // _WEEK_MS
