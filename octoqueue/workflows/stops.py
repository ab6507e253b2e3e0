"""Why a workflow function is stopped: the names of CANCEL steps, and what is thrown. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from octoqueue.errors import Cancelled, DeadlineExceeded, HistoryTooLong
from octoqueue.workflows.values import NULL

if TYPE_CHECKING:
    from octoqueue.workflows.executions import Execution

CANCEL = "cancel"
"""Somebody asked for it; the input of the step is the reason."""
DEADLINE = "deadline"
HISTORY = "history"
"""The execution has as many steps as it may have."""


def stop_error(
    cause: str, told: bytes | None, execution: Execution, *, most_steps: int
) -> Exception:
    """Return what is thrown into the function."""
    if cause == CANCEL:
        reason: object = orjson.loads(told or NULL)
        return Cancelled(reason if isinstance(reason, str) else "")
    ident = execution.execution_id
    if cause == DEADLINE:
        return DeadlineExceeded(f"execution {ident} has reached its deadline")
    return HistoryTooLong(execution.workflow_id, execution_id=ident, limit=most_steps)
