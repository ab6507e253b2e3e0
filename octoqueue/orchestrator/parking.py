"""Turns that no function has made: executions are parked, go on, or end without code. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from octoqueue.workflows.failures import error_json
from octoqueue.workflows.journal import Turn
from octoqueue.workflows.states import ExecutionStatus, SignalKind, StepStatus

if TYPE_CHECKING:
    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.journal import Signal, Step
    from octoqueue.workflows.protocol import Loaded


def parked(execution: Execution, error: BaseException) -> Turn:
    """Return the turn that blocks an execution which cannot go on here."""
    return Turn(
        execution_id=execution.execution_id,
        partition=execution.partition,
        status=ExecutionStatus.BLOCKED,
        error=error_json(error),
    )


def unblocked(execution: Execution, pending: tuple[Step, ...]) -> Turn:
    """Return the turn of a blocked execution whose code is there again.

    What it waits for is part of it, so that it is sent, run and timed as if it had just begun.
    """
    return Turn(
        execution_id=execution.execution_id,
        partition=execution.partition,
        steps=pending,
        status=ExecutionStatus.RUNNING,
    )


def cancelled_without_code(loaded: Loaded, *, now_ms: int) -> Turn | None:
    """Return the turn that ends a blocked execution somebody has cancelled; None when nobody has.

    Its compensations cannot run: they are code, too.
    """
    cancel = next((each for each in loaded.signals if each.kind is SignalKind.CANCEL), None)
    if cancel is None:
        return None
    order = max((step.order for step in loaded.steps), default=0)
    ended = [
        step._replace(status=StepStatus.CANCELLED, order=order + count, ended_at_ms=now_ms)
        for count, step in enumerate(
            (step for step in loaded.steps if step.status is StepStatus.PENDING), 1
        )
    ]
    execution = loaded.execution
    return Turn(
        execution_id=execution.execution_id,
        partition=execution.partition,
        steps=tuple(ended),
        status=ExecutionStatus.CANCELLED,
        error=_cancelled_json(cancel),
        taken=(cancel.signal_id,),
    )


def _cancelled_json(cancel: Signal) -> bytes:
    reason: object = orjson.loads(cancel.value or b"null")
    message = reason if isinstance(reason, str) and reason else "cancelled while blocked"
    return orjson.dumps({"error": "Cancelled", "message": message, "types": ["Cancelled"]})
