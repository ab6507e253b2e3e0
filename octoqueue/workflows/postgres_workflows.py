"""`PostgresWorkflowStore`: the `WorkflowStore` protocol on PostgreSQL.

    callers        postgres_callers     start, withdraw, signal, one execution: grouped by the tick
    everybody      postgres_reading     lists and journals
    orchestrators  postgres_holds       who is there, who holds what
                   postgres_turns       turns as columns, for one call of octoqueue_write_turns_v1
    upkeep         postgres_retention

A write is one round trip and one transaction, however many executions it moves; only when it goes
on with an execution that the same write has made, it takes as many as that is deep.

The weakness: listing executions by a filter that few match reads many rows, except by workflow,
tenant, or one of the statuses failed, cancelled and blocked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from octoqueue.errors import OctoqueueError, StoreConflict, WorkflowUnknown
from octoqueue.postgres.statements import load_statements
from octoqueue.workflows.postgres_callers import TRIES, PostgresCallers, in_transaction
from octoqueue.workflows.postgres_holds import PostgresHolds
from octoqueue.workflows.postgres_reading import PostgresReading
from octoqueue.workflows.postgres_retention import PostgresRetention
from octoqueue.workflows.postgres_turns import turn_columns
from octoqueue.workflows.retries import check_retriable, retry_of, steps_before
from octoqueue.workflows.starts import queued_from
from octoqueue.workflows.turns import rounds_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from octoqueue.postgres.pool import PooledConnection, PostgresPool
    from octoqueue.workflows.executions import Execution, ExecutionId, NewExecution, WorkflowId
    from octoqueue.workflows.journal import Signal, Step, Turn
    from octoqueue.workflows.protocol import (
        Agent,
        AgentId,
        Filter,
        Loaded,
        Roster,
        Started,
        Timer,
    )

AnswerT = TypeVar("AnswerT")


class PostgresWorkflowStore:
    """Workflows as rows; for one event loop. The pool belongs to whoever made it."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._sql = load_statements("workflows")
        self._write = load_statements("workflows_running")["write_turns"]
        self._now = load_statements("workflows_upkeep")["read_clock"]
        self._callers = PostgresCallers(pool)
        self._reading = PostgresReading(pool)
        self._holds = PostgresHolds(pool)
        self._retention = PostgresRetention(pool)

    # ── for callers ──────────────────────────────────────────────────────────────────────────────

    async def start(self, new: NewExecution) -> Started:
        """Keep a new execution, queued."""
        return _given(await self._callers.start(new))

    async def withdraw(self, execution_id: ExecutionId) -> bool:
        """Forget a queued execution."""
        return await self._callers.withdraw(execution_id)

    async def signal(self, workflow_id: WorkflowId, signal: Signal) -> Execution:
        """Keep a signal for the newest execution of a workflow."""
        return _given(await self._callers.signal((workflow_id, signal)))

    async def execution(self, execution_id: ExecutionId) -> Execution | None:
        """Return an execution."""
        return await self._callers.execution(execution_id)

    async def newest(self, workflow_id: WorkflowId) -> Execution | None:
        """Return the newest execution of a workflow."""
        return await self._callers.newest(workflow_id)

    async def executions(self, which: Filter, *, limit: int = 100) -> list[Execution]:
        """Return executions, newest first."""
        return await self._reading.executions(which, limit)

    async def history(self, execution_id: ExecutionId) -> Loaded | None:
        """Return an execution with its whole journal."""
        return next(iter(await self._reading.load([execution_id])), None)

    async def refused_signals(self, execution_id: ExecutionId) -> list[tuple[Signal, bytes]]:
        """Return the signals that did not fit."""
        return await self._reading.refused_signals(execution_id)

    async def holder(self, partition: int) -> Agent | None:
        """Return the orchestrator that holds a partition."""
        return await self._holds.holder(partition)

    async def retry_from(self, execution_id: ExecutionId, step: str) -> Execution:
        """Begin a new execution of a failed or cancelled one."""
        for _ in range(TRIES):
            loaded = await self.history(execution_id)
            if loaded is None:
                raise WorkflowUnknown(execution_id)
            newest = await self.newest(loaded.execution.workflow_id)
            if newest is None:
                raise WorkflowUnknown(loaded.execution.workflow_id)
            check_retriable(loaded.execution, newest=newest)
            kept = steps_before(loaded, step)
            execution = await self._retry(loaded.execution, newest, kept)
            if execution is not None:
                return execution
        raise StoreConflict("add_retry", sqlstate="", reason="others retry the same workflow")

    # ── for callers, in their transaction ────────────────────────────────────────────────────────

    async def start_in(
        self, connection: PooledConnection, news: Sequence[NewExecution]
    ) -> list[Started]:
        """Keep new executions of different workflows if the transaction commits.

        Raises:
            WorkflowIdTaken: the id of one belongs to another start; roll back.
        """
        answers = await self._callers.start_by(in_transaction(connection), news)
        return [_given(each) for each in answers]

    async def withdraw_in(
        self, connection: PooledConnection, execution_ids: Sequence[ExecutionId]
    ) -> list[bool]:
        """Forget queued executions if the transaction commits; False for those begun meanwhile."""
        return await self._callers.withdraw_by(in_transaction(connection), execution_ids)

    # ── for orchestrators: who holds what ────────────────────────────────────────────────────────

    async def attend(self, agent: Agent, *, lease: timedelta) -> Roster:
        """Register or renew an orchestrator."""
        return await self._holds.attend(agent, lease)

    async def take(self, agent_id: AgentId, partitions: Sequence[int]) -> dict[int, int]:
        """Hold partitions that nobody holds."""
        return await self._holds.take(agent_id, partitions)

    async def release(self, agent_id: AgentId, epochs: Mapping[int, int]) -> None:
        """Give partitions up."""
        await self._holds.release(agent_id, epochs)

    async def leave(self, agent_id: AgentId) -> None:
        """End an orchestrator."""
        await self._holds.leave(agent_id)

    # ── for orchestrators: running ───────────────────────────────────────────────────────────────

    async def load(self, execution_ids: Sequence[ExecutionId]) -> list[Loaded]:
        """Return executions with their journals."""
        return await self._reading.load(execution_ids)

    async def write(
        self, agent_id: AgentId, turns: Sequence[Turn], epochs: Mapping[int, int]
    ) -> frozenset[int]:
        """Commit turns in one transaction."""
        rounds = [turn_columns(agent_id, each, epochs) for each in rounds_of(turns)]
        for last in reversed(range(TRIES)):
            try:
                return await self._write_rounds(rounds)
            except StoreConflict:
                if not last:
                    raise
        return frozenset()

    async def _write_rounds(self, rounds: Sequence[tuple[object, ...]]) -> frozenset[int]:
        lost: set[int] = set()
        if len(rounds) == 1:
            for row in await self._pool.fetch(self._write, *rounds[0]):
                lost.update(row["lost"])
        elif rounds:
            async with self._pool.transaction(purpose=self._write.name) as connection:
                for each in rounds:
                    lost.update(await connection.fetchval(self._write.text, *each))
        return frozenset(lost)

    async def open_executions(
        self, partition: int, *, after: ExecutionId | None = None, limit: int = 500
    ) -> list[ExecutionId]:
        """Return executions that want attention."""
        return await self._reading.open_executions(partition, after, limit)

    async def pending_calls(
        self,
        partition: int,
        *,
        after: tuple[ExecutionId, str] | None = None,
        limit: int = 500,
    ) -> list[tuple[Execution, Step]]:
        """Return pending CALL and RUN steps of running and blocked executions."""
        return await self._reading.pending_calls(partition, after, limit)

    async def timers(
        self, partitions: Sequence[int], *, until_ms: int, limit: int = 10_000
    ) -> list[Timer]:
        """Return what is due until then."""
        return await self._reading.timers(partitions, until_ms, limit)

    async def blocked(
        self,
        partition: int,
        *,
        names: Sequence[str],
        after: ExecutionId | None = None,
        limit: int = 500,
    ) -> list[ExecutionId]:
        """Return blocked executions of these workflow functions."""
        return await self._reading.blocked(partition, names, after, limit)

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────

    async def prune(self, *, older_than: timedelta, now: datetime | None = None) -> int:
        """Forget executions that ended longer ago."""
        moment: datetime = now or (await self._pool.fetch(self._now))[0]["now"]
        return await self._retention.prune(ended_before=moment - older_than, now=moment)

    async def check(self) -> None:
        """Return when the database answers."""
        await self._pool.check()

    async def aclose(self) -> None:
        """Answer what is under way."""
        await self._callers.aclose()
        await self._reading.aclose()

    async def _retry(
        self, execution: Execution, newest: Execution, kept: Sequence[Step]
    ) -> Execution | None:
        """Return the new execution, None when somebody else has begun one meanwhile."""
        async with self._pool.transaction(purpose="retry_from") as connection:
            lock = self._sql["lock_workflow"].text
            row = await connection.fetchrow(lock, execution.workflow_id)
            if row is None or row[0] != newest.execution_id:
                return None
            ((now,),) = await connection.fetch(self._now.text)
            now_ms = round(now.timestamp() * 1000)
            new = retry_of(execution, newest=newest, now_ms=now_ms)
            rows = await connection.fetch(
                self._sql["add_retry"].text,
                execution.execution_id,
                new.execution_id,
                new.run,
                new.deadline_at_ms,
                [step.key for step in kept],
            )
        if not rows:
            return None  # it was forgotten meanwhile
        return queued_from(new, created_at=rows[0][0])


def _given(answer: AnswerT | OctoqueueError) -> AnswerT:
    if isinstance(answer, OctoqueueError):
        raise answer
    return answer
