"""How a task comes in: what a caller submits becomes a task, and what does it.

    POST          →  task (a row) + execution of the workflow  →  accepted, both or neither
    POST, an arm  →  task (a row) + message for the arm        →  accepted, both or neither

`acceptance.py` and `direct_acceptance.py` say how both are kept together. The workflow is named
here, not imported: whoever takes tasks in does not run them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from octoqueue.workflows.tasks import NewTask, TaskId, new_task_id

if TYPE_CHECKING:
    from octoqueue.primitives.lane import Lane
    from octoqueue.workflows.states import Complexity
    from workers.direct import Arm

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


class AcceptDirect(Protocol):
    """Keeps a task that names its arm together with its message."""

    async def __call__(self, task: NewTask) -> None:
        """Return when both are there to stay; raises as `Accept` does."""
        ...


class Intake:
    """Takes tasks in."""

    def __init__(self, accept: Accept, accept_direct: AcceptDirect) -> None:
        self._accept = accept
        self._accept_direct = accept_direct

    async def submit(
        self,
        goal: str,
        *,
        lane: Lane,
        complexity: Complexity | None = None,
        arm: Arm | None = None,
    ) -> TaskId:
        """Return the id of an accepted task; its workflow, or its message, has the same id.

        One that names its arm has no workflow, and no complexity.

        Raises:
            InvalidMessage: the goal cannot be kept; names the field.
            LaneFull: the lane has no room; nothing was accepted.
            StoreUnavailable: a server is gone; nothing is known to be accepted.
        """
        task = NewTask(task_id=new_task_id(), goal=goal, lane=lane, arm=arm)
        if arm is None:
            await self._accept(task, complexity=complexity)
        else:
            await self._accept_direct(task)
        return task.task_id
