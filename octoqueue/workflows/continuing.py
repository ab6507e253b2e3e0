"""The execution that goes on where another one has continued as new. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.workflows.executions import NewExecution, new_execution_id

if TYPE_CHECKING:
    from octoqueue.workflows.definitions import Definition
    from octoqueue.workflows.executions import Execution


def next_execution(
    execution: Execution, definition: Definition, text: bytes, *, now_ms: int
) -> NewExecution:
    """Return the next execution of a workflow, with `text` as its input.

    Its deadline is as far away as that of the one before was.
    """
    deadline_at_ms = execution.deadline_at_ms
    if deadline_at_ms is not None:
        created_ms = round(execution.created_at.timestamp() * 1000)
        deadline_at_ms = now_ms + max(0, deadline_at_ms - created_ms)
    return NewExecution(
        workflow_id=execution.workflow_id,
        execution_id=new_execution_id(execution.workflow_id),
        partition=execution.partition,
        name=definition.name,
        version=definition.version,
        input=text,
        lane=execution.lane,
        tenant=execution.tenant,
        complexity=execution.complexity,
        signals=None if definition.signals is None else tuple(definition.signals),
        deadline_at_ms=deadline_at_ms,
        parent=execution.parent,
        run=execution.run + 1,
    )
