"""Forgetting in PostgreSQL: whole months where that is possible, else in bounded batches.

A month goes when all its executions ended long enough ago: dropping three tables costs nothing and
leaves no bloat. What ended long enough ago in a month that has to stay is deleted.

A role that may not create or drop tables prunes all the same: rows are deleted instead of months.
Whoever owns the tables can make months ahead: `select octoqueue_make_workflow_months_v1(
current_date, 12)`.

The weakness: one call deletes at most ten thousand executions of months that stay.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from octoqueue.errors import StoreConflict, StoreRefused
from octoqueue.postgres.statements import load_statements

if TYPE_CHECKING:
    from datetime import datetime

    from octoqueue.postgres.pool import PostgresPool

log = logging.getLogger(__name__)

MONTHS_AHEAD = 4
_BATCH = 500
_BATCHES = 20
_MONTH_BATCH = 5_000


class PostgresRetention:
    """Statements of upkeep."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._sql = load_statements("workflows_upkeep")

    async def prune(self, *, ended_before: datetime, now: datetime) -> int:
        """Forget executions that ended before that; return how many."""
        await self._make_months(now)
        forgotten = await self._drop_months(ended_before)
        for _ in range(_BATCHES):
            statement = self._sql["delete_ended_executions"]
            (row,) = await self._pool.fetch(statement, ended_before, _BATCH)
            forgotten += row["count"]
            if row["count"] < _BATCH:
                break
        await self._pool.fetch(self._sql["forget_agents"])
        return forgotten

    async def _make_months(self, now: datetime) -> None:
        try:
            await self._pool.fetch(self._sql["make_months"], now, MONTHS_AHEAD)
        except StoreConflict:
            pass  # somebody is in the way; there are months enough
        except StoreRefused as error:
            # All is kept without them, in one division that can only be pruned row by row.
            log.warning("workflow_months_not_made", extra={"reason": str(error)})

    async def _drop_months(self, ended_before: datetime) -> int:
        forgotten = 0
        months = await self._pool.fetch(self._sql["list_old_months"], ended_before)
        for month, low, high in months:
            seen = await self._forget_workflows(low, high)
            try:
                await self._pool.fetch(self._sql["drop_month"], month)
            except StoreConflict:
                continue  # somebody reads it; the next call finds it again
            except StoreRefused as error:  # its rows are deleted
                log.warning("workflow_month_not_dropped", extra={"reason": str(error)})
                continue
            forgotten += seen
        return forgotten

    async def _forget_workflows(self, low: str, high: str) -> int:
        forgotten, after = 0, low
        while True:
            statement = self._sql["forget_workflows"]
            (row,) = await self._pool.fetch(statement, after, high, _MONTH_BATCH)
            seen: int = row["seen"]
            forgotten += seen
            if seen < _MONTH_BATCH:
                return forgotten
            after = row["last"]
