"""Reading executions and journals from PostgreSQL, for people and for orchestrators."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from octoqueue.postgres.grouping import Grouped
from octoqueue.postgres.statements import load_statements
from octoqueue.workflows.executions import ExecutionId
from octoqueue.workflows.postgres_rows import (
    EXECUTION_COLUMNS,
    execution_from,
    signal_from,
    signals_from,
    step_from,
    steps_from,
)
from octoqueue.workflows.protocol import Loaded, Timer
from octoqueue.workflows.states import ExecutionStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.postgres.pool import PostgresPool
    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.journal import Signal, Step
    from octoqueue.workflows.protocol import Filter

_FIRST = ExecutionId("00000000-0000-0000-0000-000000000000")
# Of what most executions are there is a page everywhere; of these there may be few among millions.
_LISTS = {
    ExecutionStatus.QUEUED: "list_unfinished_executions",
    ExecutionStatus.RUNNING: "list_unfinished_executions",
    ExecutionStatus.COMPLETED: "list_executions",
    ExecutionStatus.CONTINUED: "list_executions",
    ExecutionStatus.FAILED: "list_unwell_executions",
    ExecutionStatus.CANCELLED: "list_unwell_executions",
    ExecutionStatus.BLOCKED: "list_unwell_executions",
}
_ROWS_A_LOAD = 500


class PostgresReading:
    """Statements that change nothing; for one event loop."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._sql = load_statements("workflows")
        self._running = load_statements("workflows_running")
        self._load = Grouped(self._load_many, max_items=_ROWS_A_LOAD)

    async def aclose(self) -> None:
        """Answer what is under way."""
        await self._load.aclose()

    async def load(self, execution_ids: Sequence[ExecutionId]) -> list[Loaded]:
        """Return executions with their journals."""
        found = await asyncio.gather(*map(self._load, dict.fromkeys(execution_ids)))
        return [each for each in found if each is not None]

    async def executions(self, which: Filter, limit: int) -> list[Execution]:
        """Return executions, newest first."""
        status, name, before = which.status, which.name, which.before
        arguments: tuple[object, ...]
        if which.workflow_id is not None:
            statement = "list_executions_of_workflow"
            arguments = (which.workflow_id, which.tenant, status, name, before, limit)
        elif which.tenant is not None:
            statement = "list_executions_of_user"
            arguments = (which.tenant, status, name, before, limit)
        else:
            statement = "list_executions" if status is None else _LISTS[status]
            arguments = (status, name, before, limit)
        rows = await self._pool.fetch(self._sql[statement], *arguments)
        return [execution_from(tuple(row)) for row in rows]

    async def refused_signals(self, execution_id: ExecutionId) -> list[tuple[Signal, bytes]]:
        """Return the signals that did not fit, with why."""
        rows = await self._pool.fetch(self._sql["get_refused_signals"], execution_id)
        return [(signal_from(row[:-1]), row[-1].encode()) for row in map(tuple, rows)]

    async def open_executions(
        self, partition: int, after: ExecutionId | None, limit: int
    ) -> list[ExecutionId]:
        """Return executions that want attention."""
        statement = self._running["list_open_executions"]
        rows = await self._pool.fetch(statement, partition, after or _FIRST, limit)
        return [row[0] for row in rows]

    async def pending_calls(
        self, partition: int, after: tuple[ExecutionId, str] | None, limit: int
    ) -> list[tuple[Execution, Step]]:
        """Return pending calls and runs."""
        statement = self._running["list_pending_calls"]
        rows = await self._pool.fetch(statement, partition, *(after or (_FIRST, "")), limit)
        executions: dict[str, Execution] = {}
        found: list[tuple[Execution, Step]] = []
        for row in map(tuple, rows):
            execution = executions.get(row[0])
            if execution is None:
                execution = executions[row[0]] = execution_from(row)
            found.append((execution, step_from(row[EXECUTION_COLUMNS:])))
        return found

    async def timers(self, partitions: Sequence[int], until_ms: int, limit: int) -> list[Timer]:
        """Return what is due."""
        statement = self._running["list_timers"]
        rows = await self._pool.fetch(statement, list(partitions), until_ms, limit)
        return [
            Timer(partition=row[0], execution_id=row[1], step=row[2], due_at_ms=row[3])
            for row in rows
        ]

    async def blocked(
        self, partition: int, names: Sequence[str], after: ExecutionId | None, limit: int
    ) -> list[ExecutionId]:
        """Return blocked executions."""
        statement = self._running["list_blocked"]
        rows = await self._pool.fetch(statement, partition, list(names), after or _FIRST, limit)
        return [row[0] for row in rows]

    async def _load_many(self, ids: Sequence[ExecutionId]) -> list[Loaded | None]:
        # The execution first: a journal may be further than its execution seems, never behind it.
        rows = await self._pool.fetch(self._sql["get_executions"], ids)
        executions = {each.execution_id: each for each in map(execution_from, map(tuple, rows))}
        there = list(executions)
        if not there:
            return [None] * len(ids)
        step_rows, signal_rows = await asyncio.gather(
            self._pool.fetch(self._running["get_steps"], there),
            self._pool.fetch(self._running["get_signals"], there),
        )
        steps, signals = steps_from(step_rows), signals_from(signal_rows)
        loaded = {
            each: Loaded(
                execution=execution,
                steps=tuple(steps.get(each, ())),
                signals=tuple(signals.get(each, ())),
            )
            for each, execution in executions.items()
        }
        return [loaded.get(each) for each in ids]
