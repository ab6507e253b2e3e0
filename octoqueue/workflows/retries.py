"""Beginning a failed execution again from one of its steps. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors import StepUnknown, WorkflowFinished, WorkflowNotFinished
from octoqueue.workflows.executions import Execution, NewExecution, new_execution_id
from octoqueue.workflows.states import ExecutionStatus, StepKind

if TYPE_CHECKING:
    from octoqueue.workflows.journal import Step
    from octoqueue.workflows.protocol import Loaded

RETRIABLE = frozenset({ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})


def check_retriable(execution: Execution, *, newest: Execution) -> None:
    """Return when an execution may be retried, given the newest of its workflow.

    Raises:
        WorkflowNotFinished: one of them has not ended.
        WorkflowFinished: it has a result, or has continued as another.
    """
    for each in (execution, newest):
        if not each.is_final:
            raise WorkflowNotFinished(
                each.workflow_id, execution_id=each.execution_id, status=each.status
            )
    if execution.status not in RETRIABLE:
        raise WorkflowFinished(
            execution.workflow_id, execution_id=execution.execution_id, status=execution.status
        )


def steps_before(loaded: Loaded, key: str) -> tuple[Step, ...]:
    """Return the steps that ended before the step of that key did; all, when it never ended.

    None of those that ended after the execution was cancelled or had reached its deadline.

    Raises:
        StepUnknown: there is no such step.
    """
    found = next((step for step in loaded.steps if step.key == key), None)
    if found is None:
        raise StepUnknown(loaded.execution.execution_id, key)
    # What came after somebody cancelled it, or after its deadline, was done because of that.
    cuts = [step.order for step in loaded.steps if step.kind is StepKind.CANCEL]
    if found.order:
        cuts.append(found.order)
    ended = (step for step in loaded.steps if step.order and step.key != key)
    return tuple(step for step in ended if not cuts or step.order < min(cuts))


def retry_of(execution: Execution, *, newest: Execution, now_ms: int) -> NewExecution:
    """Return the execution that takes the place of a failed one.

    Its deadline is as far away as that of the failed one was. Nobody waits for it: a parent has
    been told how the first one ended.
    """
    deadline_at_ms = execution.deadline_at_ms
    if deadline_at_ms is not None:
        created_ms = round(execution.created_at.timestamp() * 1000)
        deadline_at_ms = now_ms + max(0, deadline_at_ms - created_ms)
    return NewExecution(
        workflow_id=execution.workflow_id,
        execution_id=new_execution_id(execution.workflow_id),
        partition=execution.partition,
        name=execution.name,
        version=execution.version,
        input=execution.input,
        lane=execution.lane,
        tenant=execution.tenant,
        complexity=execution.complexity,
        signals=execution.signals,
        deadline_at_ms=deadline_at_ms,
        run=newest.run + 1,
    )
