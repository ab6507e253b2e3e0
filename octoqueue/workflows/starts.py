"""Who may start, and who may send: the rules of the callers' verbs. Pure."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from octoqueue.errors import SignalUnknown, WorkflowFinished, WorkflowIdTaken
from octoqueue.workflows.executions import Execution
from octoqueue.workflows.states import ExecutionStatus, SignalKind

if TYPE_CHECKING:
    from datetime import datetime

    from octoqueue.workflows.executions import NewExecution
    from octoqueue.workflows.journal import Signal

_DIGEST_BYTES = 16


def start_digest(new: NewExecution) -> bytes:
    """Return what two starts of one workflow id must have in common to be the same start."""
    return blake2b(new.input, digest_size=_DIGEST_BYTES).digest()


def check_same_start(new: NewExecution, *, name: str, digest: bytes) -> None:
    """Return when `new` starts what was started before, given the name and digest of that.

    Raises:
        WorkflowIdTaken: it does not.
    """
    if new.name != name:
        raise WorkflowIdTaken(new.workflow_id, reason=f"it was started as workflow {name!r}")
    if start_digest(new) != digest:
        raise WorkflowIdTaken(new.workflow_id, reason="it was started with another input")


def check_signal(execution: Execution, signal: Signal) -> None:
    """Return when an execution takes a signal.

    Raises:
        WorkflowFinished: it has ended.
        SignalUnknown: it declares its signals, and this is none of them.
    """
    if execution.is_final:
        raise WorkflowFinished(
            execution.workflow_id, execution_id=execution.execution_id, status=execution.status
        )
    declared = execution.signals
    if signal.kind is SignalKind.SENT and declared is not None and signal.name not in declared:
        raise SignalUnknown(execution.workflow_id, signal.name, known=declared)


def queued_from(new: NewExecution, *, created_at: datetime) -> Execution:
    """Return a new execution as it is read once it is kept."""
    return Execution(
        workflow_id=new.workflow_id,
        execution_id=new.execution_id,
        partition=new.partition,
        name=new.name,
        version=new.version,
        run=new.run,
        status=ExecutionStatus.QUEUED,
        input=new.input,
        output=None,
        error=None,
        lane=new.lane,
        tenant=new.tenant,
        complexity=new.complexity,
        signals=new.signals,
        deadline_at_ms=new.deadline_at_ms,
        parent=new.parent,
        created_at=created_at,
        started_at=None,
        finished_at=None,
    )
