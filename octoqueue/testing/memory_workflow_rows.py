"""The rows of a `MemoryWorkflowStore`, and the small moves its verbs share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from octoqueue.workflows.protocol import Loaded, Timer
from octoqueue.workflows.starts import queued_from, start_digest
from octoqueue.workflows.turns import in_order

if TYPE_CHECKING:
    from octoqueue.primitives.clock import Clock
    from octoqueue.workflows.executions import Execution, ExecutionId, NewExecution, WorkflowId
    from octoqueue.workflows.journal import Signal, SignalId, Step


@dataclass(slots=True)
class WorkflowRow:
    """What is started under an id, over all its executions."""

    name: str
    digest: bytes
    newest: ExecutionId
    run: int
    parent_id: WorkflowId | None


@dataclass(slots=True)
class SignalRow:
    """A signal and what became of it."""

    signal: Signal
    state: Literal["waiting", "taken", "refused", "missed"] = "waiting"
    error: bytes | None = None


@dataclass(slots=True)
class WorkflowRows:
    """All that is kept of workflows."""

    clock: Clock
    workflows: dict[WorkflowId, WorkflowRow] = field(
        default_factory=dict["WorkflowId", WorkflowRow]
    )
    executions: dict[ExecutionId, Execution] = field(
        default_factory=dict["ExecutionId", "Execution"]
    )
    steps: dict[ExecutionId, dict[str, Step]] = field(
        default_factory=dict["ExecutionId", "dict[str, Step]"]
    )
    signals: dict[ExecutionId, dict[SignalId, SignalRow]] = field(
        default_factory=dict["ExecutionId", "dict[SignalId, SignalRow]"]
    )
    timers: dict[tuple[ExecutionId, str], Timer] = field(
        default_factory=dict["tuple[ExecutionId, str]", Timer]
    )

    def now(self) -> datetime:
        """Return the time."""
        return datetime.fromtimestamp(self.clock.now_ms() / 1000, tz=UTC)

    def newest_of(self, workflow_id: WorkflowId) -> Execution | None:
        """Return the newest execution of a workflow."""
        row = self.workflows.get(workflow_id)
        return None if row is None else self.executions[row.newest]

    def of_workflow(self, workflow_id: WorkflowId) -> list[ExecutionId]:
        """Return all executions of a workflow."""
        return [
            each.execution_id
            for each in self.executions.values()
            if each.workflow_id == workflow_id
        ]

    def loaded(self, execution_id: ExecutionId) -> Loaded | None:
        """Return an execution with its journal and what waits for it."""
        execution = self.executions.get(execution_id)
        if execution is None:
            return None
        waiting = [row.signal for row in self.waiting(execution_id)]
        return Loaded(
            execution=execution,
            steps=in_order(self.steps[execution_id].values()),
            signals=tuple(sorted(waiting, key=_age)),
        )

    def waiting(self, execution_id: ExecutionId) -> list[SignalRow]:
        """Return the signals of an execution that nobody has taken."""
        rows = self.signals.get(execution_id, {})
        return [row for row in rows.values() if row.state == "waiting"]

    def add_workflow(self, new: NewExecution, *, parent_id: WorkflowId | None = None) -> Execution:
        """Keep a workflow and its first execution."""
        self.workflows[new.workflow_id] = WorkflowRow(
            new.name, start_digest(new), new.execution_id, new.run, parent_id
        )
        return self.add_execution(new)

    def add_execution(self, new: NewExecution) -> Execution:
        """Keep an execution, queued; it is the newest of its workflow."""
        execution = queued_from(new, created_at=self.now())
        row = self.workflows[new.workflow_id]
        row.newest, row.run = new.execution_id, new.run
        self.executions[new.execution_id] = execution
        self.steps[new.execution_id] = {}
        self.signals.setdefault(new.execution_id, {})
        if new.deadline_at_ms is not None:
            self.timers[new.execution_id, ""] = Timer(
                partition=new.partition,
                execution_id=new.execution_id,
                step="",
                due_at_ms=new.deadline_at_ms,
            )
        return execution

    def forget(self, execution_id: ExecutionId) -> None:
        """Forget an execution with all of its; with the newest one its workflow is forgotten."""
        execution = self.executions.pop(execution_id)
        row = self.workflows.get(execution.workflow_id)
        if row is not None and row.newest == execution_id:
            del self.workflows[execution.workflow_id]
        del self.steps[execution_id]
        self.signals.pop(execution_id, None)
        self.stop_timers(execution_id)

    def stop_timers(self, execution_id: ExecutionId) -> None:
        """Delete all timers of an execution."""
        for key in [key for key in self.timers if key[0] == execution_id]:
            del self.timers[key]

    def change(self, execution_id: ExecutionId, **changes: object) -> Execution:
        """Replace fields of an execution."""
        changed = replace(self.executions[execution_id], **changes)  # type: ignore[arg-type]
        self.executions[execution_id] = changed
        return changed


def _age(signal: Signal) -> tuple[int, str]:
    return signal.sent_at_ms, signal.signal_id
