"""What callers do with workflows in PostgreSQL: start, withdraw, signal, read; grouped by the tick.

A statement that met another transaction in its way is repeated: nothing of it was kept, or what it
did not see is there now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from octoqueue.errors import OctoqueueError, StoreConflict, WorkflowIdTaken, WorkflowUnknown
from octoqueue.postgres.grouping import Grouped
from octoqueue.postgres.statements import load_statements
from octoqueue.workflows.postgres_rows import execution_from, start_columns, texts
from octoqueue.workflows.protocol import Started
from octoqueue.workflows.starts import check_same_start, check_signal, queued_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.postgres.pool import PooledConnection, PostgresPool, Record
    from octoqueue.postgres.statements import Statement
    from octoqueue.workflows.executions import Execution, ExecutionId, NewExecution, WorkflowId
    from octoqueue.workflows.journal import Signal

TRIES = 10
"""How often a statement that met another transaction is sent."""


class Fetch(Protocol):
    """Runs a statement: by itself, or in somebody's transaction."""

    async def __call__(self, statement: Statement, *arguments: Any) -> Sequence[Record]:  # noqa: ANN401
        """Return its rows."""
        ...


def in_transaction(connection: PooledConnection) -> Fetch:
    """Return what runs statements in the transaction of `connection`."""

    async def fetch(statement: Statement, *arguments: Any) -> Sequence[Record]:  # noqa: ANN401
        return await connection.fetch(statement.text, *arguments)

    return fetch


def by_itself(pool: PostgresPool) -> Fetch:
    """Return what runs each statement in a transaction of its own, again after a conflict."""

    async def fetch(statement: Statement, *arguments: Any) -> Sequence[Record]:  # noqa: ANN401
        for _ in range(TRIES - 1):
            try:
                return await pool.fetch(statement, *arguments)
            except StoreConflict:
                continue
        return await pool.fetch(statement, *arguments)

    return fetch


class PostgresCallers:
    """Statements of callers; for one event loop."""

    def __init__(self, pool: PostgresPool) -> None:
        self._sql = load_statements("workflows")
        self._fetch = by_itself(pool)
        self.start = Grouped(self._start_many, key=_workflow_of)
        self.withdraw = Grouped(self._withdraw_many)
        self.signal = Grouped(self._signal_many)
        self.execution = Grouped(self._get_many)
        self.newest = Grouped(self._newest_many)

    async def aclose(self) -> None:
        """Answer what is under way."""
        for grouped in (self.start, self.withdraw, self.signal, self.execution, self.newest):
            await grouped.aclose()

    async def start_by(
        self, fetch: Fetch, news: Sequence[NewExecution]
    ) -> list[Started | WorkflowIdTaken]:
        """Keep new executions; of each workflow id one."""
        answers: dict[ExecutionId, Started | WorkflowIdTaken] = {}
        left = list(news)
        for _ in range(TRIES):
            rows = await fetch(self._sql["start_workflows"], *start_columns(left))
            for new, row in zip(left, rows, strict=True):
                answer = _start_answer(new, row)
                if answer is not None:
                    answers[new.execution_id] = answer
            left = [new for new in left if new.execution_id not in answers]
            if not left:
                break
        else:
            raise StoreConflict("start_workflows", sqlstate="", reason="others start the same")
        return [answers[new.execution_id] for new in news]

    async def _start_many(self, news: Sequence[NewExecution]) -> list[Started | WorkflowIdTaken]:
        return await self.start_by(self._fetch, news)

    async def withdraw_by(self, fetch: Fetch, ids: Sequence[ExecutionId]) -> list[bool]:
        """Forget queued executions."""
        rows = await fetch(self._sql["withdraw_executions"], ids)
        there = {row[0] for row in rows}
        await fetch(self._sql["forget_signals"], [each for each in ids if each not in there])
        return [each not in there for each in ids]

    async def _withdraw_many(self, ids: Sequence[ExecutionId]) -> list[bool]:
        return await self.withdraw_by(self._fetch, ids)

    async def _signal_many(
        self, sent: Sequence[tuple[WorkflowId, Signal]]
    ) -> list[Execution | OctoqueueError]:
        answers: dict[int, Execution | OctoqueueError] = {}
        left = list(range(len(sent)))
        for _ in range(TRIES):
            wanted = [sent[n] for n in left]
            rows = await self._fetch(self._sql["signal_workflows"], *_signal_columns(wanted))
            found = {row[0] - 1: row for row in rows}
            for place, n in enumerate(left):
                answer = _signal_answer(*sent[n], found.get(place))
                if answer is not None:
                    answers[n] = answer
            left = [n for n in left if n not in answers]
            if not left:
                break
        else:
            raise StoreConflict("signal_workflows", sqlstate="", reason="it goes on and on")
        return [answers[n] for n in range(len(sent))]

    async def _get_many(self, ids: Sequence[ExecutionId]) -> list[Execution | None]:
        rows = await self._fetch(self._sql["get_executions"], ids)
        found = {each.execution_id: each for each in map(execution_from, map(tuple, rows))}
        return [found.get(each) for each in ids]

    async def _newest_many(self, ids: Sequence[WorkflowId]) -> list[Execution | None]:
        rows = await self._fetch(self._sql["get_newest"], ids)
        found = {each.workflow_id: each for each in map(execution_from, map(tuple, rows))}
        return [found.get(each) for each in ids]


def _workflow_of(new: NewExecution) -> WorkflowId:
    return new.workflow_id


def _start_answer(new: NewExecution, row: Record) -> Started | WorkflowIdTaken | None:
    is_new, now, name, digest, *columns = tuple(row)
    if is_new:
        return Started(execution=queued_from(new, created_at=now), is_new=True)
    if name is None or columns[0] is None:
        return None
    try:
        check_same_start(new, name=name, digest=digest)
    except WorkflowIdTaken as taken:
        return taken
    return Started(execution=execution_from(columns), is_new=False)


def _signal_columns(sent: Sequence[tuple[WorkflowId, Signal]]) -> tuple[Sequence[Any], ...]:
    return (
        [workflow_id for workflow_id, _ in sent],
        [signal.signal_id for _, signal in sent],
        [signal.kind for _, signal in sent],
        [signal.name for _, signal in sent],
        texts([signal.value for _, signal in sent]),
        [signal.sent_at_ms for _, signal in sent],
    )


def _signal_answer(
    workflow_id: WorkflowId, signal: Signal, row: Record | None
) -> Execution | OctoqueueError | None:
    if row is None:
        return WorkflowUnknown(workflow_id)
    _, is_kept, *columns = tuple(row)
    if columns[0] is None:
        return None
    execution = execution_from(columns)
    if is_kept:
        return execution
    try:
        check_signal(execution, signal)
    except OctoqueueError as refusal:
        return refusal
    return None
