"""`Minutes`: what happened in queues, minute by minute, for 90 days; and what was learnt of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from octoqueue.postgres.statements import load_statements
from octoqueue.primitives.lane import LANES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.postgres.pool import PostgresPool
    from octoqueue.primitives.signals import QueueMinute

KEPT_FOR: Final = timedelta(days=90)
_MOST_PRUNED: Final = 20_000
"""Rows that one call removes; the next call removes more."""


class MinuteArrivals(NamedTuple):
    """How much arrived in one minute."""

    starts_at_ms: int
    arrivals: int


class KeptForecast(NamedTuple):
    """What a forecast had learnt."""

    state: bytes
    saved_at: datetime


class Minutes:
    """The minutes of one database.

    Every method is one statement, and raises StoreUnavailable when the database is gone.
    """

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._sql = load_statements("minutes")

    async def add(self, minutes: Sequence[QueueMinute]) -> None:
        """Keep minutes that are over; to do it again, also with fewer counts, changes nothing."""
        if minutes:
            columns = zip(*(_row(minute) for minute in minutes), strict=True)
            await self._pool.fetch(self._sql["add_minutes"], *map(list, columns))

    async def arrivals(
        self, queues: Sequence[str], *, since_ms: int, until_ms: int
    ) -> list[MinuteArrivals]:
        """Return the arrivals of some queues, added up, oldest minute first.

        Of minutes that began at `since_ms` or later, before `until_ms`.

        A minute that is not known of every one of them is left out.
        """
        rows = await self._pool.fetch(
            self._sql["read_arrivals"], sorted(set(queues)), since_ms, until_ms
        )
        return [MinuteArrivals(row["minute_ms"], row["arrivals"]) for row in rows]

    async def import_arrivals(self, queue: str, minutes: Sequence[MinuteArrivals]) -> int:
        """Keep arrivals of minutes of which nothing is known; return how many those were."""
        rows = await self._pool.fetch(
            self._sql["import_arrivals"],
            queue,
            [minute.starts_at_ms for minute in minutes],
            [minute.arrivals for minute in minutes],
        )
        return len(rows)

    async def prune(self, *, kept_for: timedelta = KEPT_FOR) -> int:
        """Remove old minutes, not too many at a time; return how many."""
        (row,) = await self._pool.fetch(self._sql["prune_minutes"], kept_for, _MOST_PRUNED)
        return int(row["pruned"])

    async def load_forecast(self, fleet: str, queues: Sequence[str]) -> KeptForecast | None:
        """Return what the forecast of a fleet had learnt from these queues, None if nothing."""
        rows = await self._pool.fetch(self._sql["load_forecast"], fleet, sorted(set(queues)))
        return KeptForecast(rows[0]["state"], rows[0]["saved_at"]) if rows else None

    async def is_kept(
        self, fleet: str, queues: Sequence[str], *, saved_at: datetime | None
    ) -> bool:
        """Return whether what is kept of a fleet's forecast is what was saved then, None: nothing.

        What is kept of other queues, as by somebody with another configuration, says nothing.
        """
        rows = await self._pool.fetch(self._sql["find_forecast"], fleet, sorted(set(queues)))
        if not rows:
            return saved_at is None
        return rows[0]["saved_at"] in {saved_at, None}

    async def save_forecast(
        self,
        fleet: str,
        queues: Sequence[str],
        *,
        newest_ms: int,
        state: bytes,
        after: datetime | None,
    ) -> datetime | None:
        """Keep what a forecast has learnt beyond what was saved at `after`; return when.

        None, and nothing is kept, when something else is kept by now or that was removed.
        """
        if after is None:
            rows = await self._pool.fetch(
                self._sql["begin_forecast"], fleet, sorted(set(queues)), newest_ms, state
            )
        else:
            rows = await self._pool.fetch(
                self._sql["continue_forecast"], fleet, after, newest_ms, state
            )
        return rows[0]["saved_at"] if rows else None

    async def forget_forecasts(self, queue: str) -> list[str]:
        """Remove what forecasts had learnt from a queue; return the fleets they were for."""
        rows = await self._pool.fetch(self._sql["forget_forecasts"], queue)
        return sorted(row["fleet"] for row in rows)


def _row(minute: QueueMinute) -> tuple[object, ...]:
    lanes = [minute.lanes[lane] for lane in LANES]
    waits = [
        sum(counts) for counts in zip(*(lane.waits for lane in lanes if lane.waits), strict=True)
    ]
    return (
        minute.queue,
        minute.starts_at_ms,
        *(lane.arrivals for lane in lanes),
        *(lane.starts for lane in lanes),
        minute.completions,
        minute.failures,
        minute.runs,
        minute.run_us,
        minute.run_ms2,
        "{" + ",".join(map(str, waits if any(waits) else ())) + "}",
    )
