"""Moves of a task's row, as functions that the workflow runs and journals.

Each is compare-and-set: run twice, it moves the row once. What PostgreSQL cannot do now is tried
again, for as long as the workflow lives.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from octoqueue.workflows.tasks import TaskError, TaskId
from workers.resources import TASKS

if TYPE_CHECKING:
    from octoqueue.workflows.tasks import Verdict

log = logging.getLogger(__name__)


async def start_task(task_id: str, arm: str) -> bool:
    """Move a task to running; return whether it is."""
    verdict = await TASKS.get().start(TaskId(task_id), arm=arm)
    _tell("task_started", task_id, verdict)
    return verdict.goes_on


async def complete_task(task_id: str, result: dict[str, Any], attempts: int) -> bool:
    """Complete a task; return whether it is."""
    verdict = await TASKS.get().complete(TaskId(task_id), result=result, attempts=attempts)
    _tell("task_completed", task_id, verdict)
    return verdict.goes_on


async def fail_task(task_id: str, code: str, message: str, attempts: int) -> bool:
    """Fail a task; return whether it is. One that has ended keeps its outcome."""
    error = TaskError(code=code, message=message)
    verdict = await TASKS.get().fail(TaskId(task_id), error=error, attempts=attempts)
    _tell("task_failed", task_id, verdict)
    return verdict.goes_on


def _tell(event: str, task_id: str, verdict: Verdict) -> None:
    if verdict.goes_on:
        log.debug(event, extra={"task_id": task_id})
    else:
        log.info("outcome_dropped", extra={"task_id": task_id, "because": verdict.value})
