"""Writing turns into the rows of a `MemoryWorkflowStore`, phase by phase as PostgreSQL does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from octoqueue.testing.memory_workflow_rows import SignalRow
from octoqueue.workflows.executions import Parent
from octoqueue.workflows.journal import Signal, SignalId
from octoqueue.workflows.protocol import Timer
from octoqueue.workflows.states import (
    FINAL_STATUSES,
    ExecutionStatus,
    SignalKind,
    StepKind,
    StepStatus,
)
from octoqueue.workflows.turns import (
    GIVEN_UP,
    rounds_of,
    step_after,
    stops_timer,
    told_of_end,
    told_of_taken_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from octoqueue.testing.memory_workflow_rows import WorkflowRows
    from octoqueue.workflows.executions import ExecutionId, NewExecution
    from octoqueue.workflows.journal import Step, Turn
    from octoqueue.workflows.turns import Entry


def write_turns(rows: WorkflowRows, turns: Iterable[Turn]) -> None:
    """Write turns whose partitions are held."""
    for entries in rounds_of(turns):
        legal = [each for each in entries if _is_legal(rows, each)]
        for phase in _PHASES:
            for entry in legal:
                phase(rows, entry)


def _is_legal(rows: WorkflowRows, entry: Entry) -> bool:
    execution = rows.executions.get(entry.execution_id)
    return (
        execution is not None
        and execution.partition == entry.partition
        and entry.may_follow(execution.status)
    )


def _move(rows: WorkflowRows, entry: Entry) -> None:
    if entry.status is None:
        return
    now = rows.now()
    before = rows.executions[entry.execution_id]
    started_at = before.started_at
    if started_at is None and entry.runs:
        started_at = max(now, before.created_at)
    is_final = entry.status in FINAL_STATUSES
    rows.change(
        entry.execution_id,
        status=entry.status,
        output=entry.output,
        error=entry.error,
        started_at=started_at,
        finished_at=max(now, started_at or before.created_at) if is_final else None,
    )


def _continue(rows: WorkflowRows, entry: Entry) -> None:
    if entry.continued is not None:
        parent = rows.executions[entry.execution_id].parent
        rows.add_execution(replace(entry.continued, parent=parent))


def _begin(rows: WorkflowRows, entry: Entry) -> None:
    for child in entry.children:
        _begin_child(rows, entry.execution_id, child)


def _journal(rows: WorkflowRows, entry: Entry) -> None:
    kept = rows.steps[entry.execution_id]
    for step in entry.steps.values():
        kept[step.key] = step_after(kept.get(step.key), step)
        _set_timer(rows, entry, kept[step.key])


def _give_up(rows: WorkflowRows, entry: Entry) -> None:
    """Ask children to end that the execution waits for no more."""
    for step in entry.steps.values():
        child = None if step.child_id is None else rows.executions.get(step.child_id)
        if child is None or (step.kind, step.status) != (StepKind.CHILD, StepStatus.CANCELLED):
            continue
        by = Parent(execution_id=entry.execution_id, step=step.key)
        newest = rows.newest_of(child.workflow_id)
        if newest is None or newest.is_final or newest.parent != by:
            continue
        ident = SignalId(entry.execution_id)
        signal = Signal(ident, SignalKind.CANCEL, "", GIVEN_UP, rows.clock.now_ms())
        rows.signals[newest.execution_id].setdefault(ident, SignalRow(signal))


def _tell_parent(rows: WorkflowRows, entry: Entry) -> None:
    execution = rows.executions[entry.execution_id]
    if not execution.is_final or execution.status is ExecutionStatus.CONTINUED:
        return
    if execution.parent is not None:
        told = told_of_end(execution.status, output=execution.output, error=execution.error)
        _tell(rows, execution.parent, execution.execution_id, told)


def _mark_signals(rows: WorkflowRows, entry: Entry) -> None:
    waiting = {row.signal.signal_id: row for row in rows.waiting(entry.execution_id)}
    for signal_id, error in entry.refused.items():
        if row := waiting.pop(signal_id, None):
            row.state, row.error = "refused", error
    for signal_id in entry.taken:
        if row := waiting.get(signal_id):
            row.state = "taken"


def _end(rows: WorkflowRows, entry: Entry) -> None:
    if entry.status not in FINAL_STATUSES:
        return
    rows.stop_timers(entry.execution_id)
    signals = rows.signals[entry.execution_id]
    for row in rows.waiting(entry.execution_id):
        if entry.continued is None or row.signal.kind is SignalKind.CHILD:
            row.state = "missed"
            continue
        there = rows.signals[entry.continued.execution_id]
        if row.signal.signal_id in there:  # given up again by the same write
            row.state = "missed"
        else:
            there[row.signal.signal_id] = signals.pop(row.signal.signal_id)


_PHASES = (_move, _continue, _begin, _journal, _give_up, _tell_parent, _mark_signals, _end)
"""What happens to all entries of a round, one after the other: who continues has not ended."""


def _set_timer(rows: WorkflowRows, entry: Entry, step: Step) -> None:
    key = (entry.execution_id, step.key)
    if step.status is not StepStatus.PENDING:
        if stops_timer(step):
            rows.timers.pop(key, None)
    elif step.due_at_ms is not None:
        rows.timers[key] = Timer(
            partition=entry.partition,
            execution_id=entry.execution_id,
            step=step.key,
            due_at_ms=step.due_at_ms,
        )


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


def _tell(rows: WorkflowRows, parent: Parent, child_id: ExecutionId, value: bytes) -> None:
    execution = rows.executions.get(parent.execution_id)
    if execution is None or execution.is_final:
        return
    signal = Signal(SignalId(child_id), SignalKind.CHILD, parent.step, value, rows.clock.now_ms())
    rows.signals[parent.execution_id].setdefault(signal.signal_id, SignalRow(signal))
