"""`MemoryWorkflowStore`: a `WorkflowStore` in one process, with the promises of PostgreSQL's.

It is for tests: nothing is durable and nothing is shared between processes. Every verb happens at
once, without giving the loop a turn, so a test decides alone what happens in which order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors import WorkflowUnknown
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.testing.memory_workflow_holds import MemoryHolds
from octoqueue.testing.memory_workflow_rows import SignalRow, WorkflowRows
from octoqueue.testing.memory_workflow_turns import write_turns
from octoqueue.workflows.protocol import Started
from octoqueue.workflows.retries import check_retriable, retry_of, steps_before
from octoqueue.workflows.starts import check_same_start, check_signal
from octoqueue.workflows.states import ExecutionStatus, StepKind, StepStatus
from octoqueue.workflows.turns import BEGUN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from octoqueue.workflows.executions import Execution, ExecutionId, NewExecution, WorkflowId
    from octoqueue.workflows.journal import Signal, Step, Turn
    from octoqueue.workflows.protocol import Agent, AgentId, Filter, Loaded, Roster, Timer

_DONE_AGAIN = frozenset({StepKind.CALL, StepKind.RUN})


class MemoryWorkflowStore:
    """Implements `WorkflowStore` with dictionaries."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Start empty."""
        self._clock = clock or SystemClock()
        self._rows = WorkflowRows(self._clock)
        self._holds = MemoryHolds(self._clock)

    # ── for callers ──────────────────────────────────────────────────────────────────────────────

    async def start(self, new: NewExecution) -> Started:
        """Keep a new execution, queued."""
        row = self._rows.workflows.get(new.workflow_id)
        if row is None:
            return Started(execution=self._rows.add_workflow(new), is_new=True)
        check_same_start(new, name=row.name, digest=row.digest)
        return Started(execution=self._rows.executions[row.newest], is_new=False)

    async def withdraw(self, execution_id: ExecutionId) -> bool:
        """Forget a queued execution."""
        execution = self._rows.executions.get(execution_id)
        if execution is None:
            return True
        if (
            execution.status is not ExecutionStatus.QUEUED
            or execution.run > 1
            or execution.parent is not None
        ):
            return False
        self._rows.forget(execution_id)
        return True

    async def signal(self, workflow_id: WorkflowId, signal: Signal) -> Execution:
        """Keep a signal for the newest execution of a workflow."""
        execution = self._rows.newest_of(workflow_id)
        if execution is None:
            raise WorkflowUnknown(workflow_id)
        runs = self._rows.of_workflow(workflow_id)
        if not any(signal.signal_id in self._rows.signals[each] for each in runs):
            check_signal(execution, signal)
            self._rows.signals[execution.execution_id][signal.signal_id] = SignalRow(signal)
        return execution

    async def execution(self, execution_id: ExecutionId) -> Execution | None:
        """Return an execution."""
        return self._rows.executions.get(execution_id)

    async def newest(self, workflow_id: WorkflowId) -> Execution | None:
        """Return the newest execution of a workflow."""
        return self._rows.newest_of(workflow_id)

    async def executions(self, which: Filter, *, limit: int = 100) -> list[Execution]:
        """Return executions, newest first."""
        found = [
            each
            for each in self._rows.executions.values()
            if which.status in {None, each.status}
            and which.name in {None, each.name}
            and which.tenant in {None, each.tenant}
            and which.workflow_id in {None, each.workflow_id}
            and (which.before is None or each.execution_id < which.before)
        ]
        found.sort(key=_id_of, reverse=True)
        return found[:limit]

    async def history(self, execution_id: ExecutionId) -> Loaded | None:
        """Return an execution with its whole journal."""
        return self._rows.loaded(execution_id)

    async def refused_signals(self, execution_id: ExecutionId) -> list[tuple[Signal, bytes]]:
        """Return the signals that did not fit."""
        rows = self._rows.signals.get(execution_id, {}).values()
        refused = [
            (row.signal, row.error)
            for row in rows
            if row.state == "refused" and row.error is not None
        ]
        return sorted(refused, key=lambda each: (each[0].sent_at_ms, each[0].signal_id))

    async def holder(self, partition: int) -> Agent | None:
        """Return the orchestrator that holds a partition."""
        return self._holds.holder(partition)

    async def retry_from(self, execution_id: ExecutionId, step: str) -> Execution:
        """Begin a new execution of a failed or cancelled one."""
        loaded = self._rows.loaded(execution_id)
        if loaded is None:
            raise WorkflowUnknown(execution_id)
        newest = self._rows.newest_of(loaded.execution.workflow_id)
        if newest is None:
            raise WorkflowUnknown(loaded.execution.workflow_id)
        check_retriable(loaded.execution, newest=newest)
        kept = steps_before(loaded, step)
        new = retry_of(loaded.execution, newest=newest, now_ms=self._clock.now_ms())
        execution = self._rows.add_execution(new)
        self._rows.steps[new.execution_id] = {each.key: each for each in kept}
        return execution

    # ── for orchestrators: who holds what ────────────────────────────────────────────────────────

    async def attend(self, agent: Agent, *, lease: timedelta) -> Roster:
        """Register or renew an orchestrator."""
        return self._holds.attend(agent, lease=lease)

    async def take(self, agent_id: AgentId, partitions: Sequence[int]) -> dict[int, int]:
        """Hold partitions that nobody holds."""
        return self._holds.take(agent_id, partitions)

    async def release(self, agent_id: AgentId, epochs: Mapping[int, int]) -> None:
        """Give partitions up."""
        self._holds.release(agent_id, epochs)

    async def leave(self, agent_id: AgentId) -> None:
        """End an orchestrator."""
        self._holds.leave(agent_id)

    # ── for orchestrators: running ───────────────────────────────────────────────────────────────

    async def load(self, execution_ids: Sequence[ExecutionId]) -> list[Loaded]:
        """Return executions with their journals."""
        found = (self._rows.loaded(each) for each in dict.fromkeys(execution_ids))
        return [each for each in found if each is not None]

    async def write(
        self, agent_id: AgentId, turns: Sequence[Turn], epochs: Mapping[int, int]
    ) -> frozenset[int]:
        """Commit turns."""
        lost = self._holds.lost(agent_id, {turn.partition for turn in turns}, epochs)
        write_turns(self._rows, [turn for turn in turns if turn.partition not in lost])
        return lost

    async def open_executions(
        self, partition: int, *, after: ExecutionId | None = None, limit: int = 500
    ) -> list[ExecutionId]:
        """Return executions that want attention."""
        found = [
            each
            for each in self._in_partition(partition, after)
            if each.status is ExecutionStatus.QUEUED
            or (not each.is_final and self._rows.waiting(each.execution_id))
        ]
        return [each.execution_id for each in found[:limit]]

    async def pending_calls(
        self,
        partition: int,
        *,
        after: tuple[ExecutionId, str] | None = None,
        limit: int = 500,
    ) -> list[tuple[Execution, Step]]:
        """Return pending CALL and RUN steps of running and blocked executions."""
        found = [
            (execution, step)
            for execution in self._in_partition(partition, None)
            if execution.status in BEGUN
            for key, step in sorted(self._rows.steps[execution.execution_id].items())
            if step.status is StepStatus.PENDING
            and step.kind in _DONE_AGAIN
            and (after is None or (execution.execution_id, key) > after)
        ]
        return found[:limit]

    async def timers(
        self, partitions: Sequence[int], *, until_ms: int, limit: int = 10_000
    ) -> list[Timer]:
        """Return what is due until then, soonest first."""
        found = [
            each
            for each in self._rows.timers.values()
            if each.partition in partitions and each.due_at_ms <= until_ms
        ]
        found.sort(key=_due)
        return found[:limit]

    async def blocked(
        self,
        partition: int,
        *,
        names: Sequence[str],
        after: ExecutionId | None = None,
        limit: int = 500,
    ) -> list[ExecutionId]:
        """Return blocked executions of these workflow functions."""
        found = [
            each.execution_id
            for each in self._in_partition(partition, after)
            if each.status is ExecutionStatus.BLOCKED and each.name in names
        ]
        return found[:limit]

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────

    async def prune(self, *, older_than: timedelta, now: datetime | None = None) -> int:
        """Forget executions that ended longer ago."""
        oldest = (now or self._rows.now()) - older_than
        gone = [
            each.execution_id
            for each in self._rows.executions.values()
            if each.finished_at is not None and each.finished_at < oldest
        ]
        for execution_id in gone:
            self._rows.forget(execution_id)
        return len(gone)

    async def check(self) -> None:
        """Return at once."""

    async def aclose(self) -> None:
        """Do nothing."""

    def _in_partition(self, partition: int, after: ExecutionId | None) -> list[Execution]:
        found = [
            each
            for each in self._rows.executions.values()
            if each.partition == partition and (after is None or each.execution_id > after)
        ]
        return sorted(found, key=_id_of)


def _id_of(execution: Execution) -> ExecutionId:
    return execution.execution_id


def _due(timer: Timer) -> tuple[int, str, str]:
    return timer.due_at_ms, timer.execution_id, timer.step
