"""Writing turns into the rows of a `MemoryWorkflowStore`, one entry after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from octoqueue.testing.memory_workflow_rows import SignalRow
from octoqueue.workflows.journal import Signal, SignalId
from octoqueue.workflows.protocol import Timer
from octoqueue.workflows.states import ExecutionStatus, SignalKind, StepStatus
from octoqueue.workflows.turns import rounds_of, step_after, told_of_end, told_of_taken_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from octoqueue.testing.memory_workflow_rows import WorkflowRows
    from octoqueue.workflows.executions import Execution, ExecutionId, NewExecution, Parent
    from octoqueue.workflows.journal import Step, Turn
    from octoqueue.workflows.turns import Entry


def write_turns(rows: WorkflowRows, turns: Iterable[Turn]) -> None:
    """Write turns whose partitions are held."""
    for entries in rounds_of(turns):
        for entry in [each for each in entries if _is_legal(rows, each)]:
            _write(rows, entry)


def _is_legal(rows: WorkflowRows, entry: Entry) -> bool:
    execution = rows.executions.get(entry.execution_id)
    return (
        execution is not None
        and execution.partition == entry.partition
        and entry.may_follow(execution.status)
    )


def _write(rows: WorkflowRows, entry: Entry) -> None:
    kept = rows.steps[entry.execution_id]
    for step in entry.steps.values():
        kept[step.key] = step_after(kept.get(step.key), step)
        _set_timer(rows, entry, kept[step.key])
    for child in entry.children:
        _begin_child(rows, entry.execution_id, child)
    signals = rows.signals[entry.execution_id]
    for signal_id in entry.taken:
        if signal_id in signals:
            signals[signal_id].state = "taken"
    for signal_id, error in entry.refused.items():
        if signal_id in signals:
            signals[signal_id].state, signals[signal_id].error = "refused", error
    if entry.status is not None:
        _move(rows, entry, entry.status)


def _set_timer(rows: WorkflowRows, entry: Entry, step: Step) -> None:
    if step.due_at_ms is None:
        return
    key = (entry.execution_id, step.key)
    if step.status is StepStatus.PENDING:
        rows.timers[key] = Timer(
            partition=entry.partition,
            execution_id=entry.execution_id,
            step=step.key,
            due_at_ms=step.due_at_ms,
        )
    else:
        rows.timers.pop(key, None)


def _begin_child(rows: WorkflowRows, by: ExecutionId, child: NewExecution) -> None:
    if child.execution_id in rows.executions:
        return
    parent_id = rows.executions[by].workflow_id
    row = rows.workflows.get(child.workflow_id)
    if row is None:
        rows.add_workflow(child, parent_id=parent_id)
    elif row.parent_id == parent_id and rows.executions[row.newest].is_final:
        rows.add_execution(replace(child, run=row.run + 1))
        row.name = child.name
    elif child.parent is not None:
        _tell(rows, child.parent, child.execution_id, told_of_taken_id(child))


def _move(rows: WorkflowRows, entry: Entry, status: ExecutionStatus) -> None:
    now = rows.now()
    before = rows.executions[entry.execution_id]
    started_at = before.started_at
    if started_at is None and entry.runs:
        started_at = max(now, before.created_at)
    after = rows.change(
        entry.execution_id,
        status=status,
        output=entry.output,
        error=entry.error,
        started_at=started_at,
    )
    if not after.is_final:
        return
    finished_at = max(now, started_at or before.created_at)
    _end(rows, rows.change(entry.execution_id, finished_at=finished_at), entry)


def _end(rows: WorkflowRows, ended: Execution, entry: Entry) -> None:
    rows.stop_timers(ended.execution_id)
    if entry.continued is not None:
        rows.add_execution(replace(entry.continued, parent=ended.parent))
        target = rows.signals[entry.continued.execution_id]
        for row in rows.waiting(ended.execution_id):
            if row.signal.kind is not SignalKind.CHILD:
                target[row.signal.signal_id] = row
                del rows.signals[ended.execution_id][row.signal.signal_id]
    for row in rows.waiting(ended.execution_id):
        row.state = "missed"
    if ended.parent is not None and ended.status is not ExecutionStatus.CONTINUED:
        told = told_of_end(ended.status, output=ended.output, error=ended.error)
        _tell(rows, ended.parent, ended.execution_id, told)


def _tell(rows: WorkflowRows, parent: Parent, child_id: ExecutionId, value: bytes) -> None:
    execution = rows.executions.get(parent.execution_id)
    if execution is None or execution.is_final:
        return
    signal = Signal(SignalId(child_id), SignalKind.CHILD, parent.step, value, rows.clock.now_ms())
    rows.signals[parent.execution_id].setdefault(signal.signal_id, SignalRow(signal))
