"""How a task comes in: what a caller submits becomes a task, and the workflow that does it.

    POST  →  task (a row) + execution of the workflow  →  accepted, both or neither

`acceptance.py` says how both are kept together. The workflow is named here, not imported: whoever
takes tasks in does not run them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from octoqueue.workflows.tasks import NewTask, TaskId, new_task_id

if TYPE_CHECKING:
    from octoqueue.primitives.lane import Lane
    from octoqueue.workflows.states import Complexity

QUEUE: Final = "planner"
"""Whose bounds say how many tasks may wait: a task has begun when its plan is there."""
WORKFLOW: Final = "agent"


class Accept(Protocol):
    """Keeps a task together with the workflow that does it."""

    async def __call__(self, task: NewTask, *, complexity: Complexity | None = None) -> None:
        """Return when both are there to stay.

        Raises:
            LaneFull: neither is.
            StoreUnavailable: nothing is known to be accepted.
        """
        ...


class Intake:
    """Takes tasks in."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept

    async def submit(
        self, goal: str, *, lane: Lane, complexity: Complexity | None = None
    ) -> TaskId:
        """Return the id of an accepted task; its workflow has the same id.

        Raises:
            InvalidMessage: the goal cannot be kept; names the field.
            LaneFull: the lane has no room; nothing was accepted.
            StoreUnavailable: a server is gone; nothing is known to be accepted.
        """
        task = NewTask(task_id=new_task_id(), goal=goal, lane=lane)
        await self._accept(task, complexity=complexity)
        return task.task_id
