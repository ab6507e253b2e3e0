"""How a task comes in: what a caller submits becomes a task, and its first message.

    POST  →  task (a row) + message for the planner  →  accepted, both or neither

`acceptance.py` says how both are kept together. The planner is named here, not imported: whoever
takes tasks in does not run them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from octoqueue.broker.handles import MessageHandle
from octoqueue.primitives.clock import SystemClock
from octoqueue.workflows.tasks import NewTask, TaskId, new_task_id

if TYPE_CHECKING:
    from octoqueue.primitives.lane import Lane

QUEUE: Final = "planner"
ACTOR: Final = "plan"
_clock: Final = SystemClock()


class Accept(Protocol):
    """Keeps a task together with the message that sets it going."""

    async def __call__(self, task: NewTask) -> None:
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

    async def submit(self, goal: str, *, lane: Lane) -> TaskId:
        """Return the id of an accepted task. Its first message has the same id.

        Raises:
            InvalidMessage: the goal cannot be kept; names the field.
            LaneFull: the lane has no room; nothing was accepted.
            StoreUnavailable: a server is gone; nothing is known to be accepted.
        """
        task = NewTask(task_id=new_task_id(), goal=goal, lane=lane)
        await self._accept(task)
        return task.task_id


def planner_message(task: NewTask, *, message_id: str) -> MessageHandle[None]:
    """Return the message that sets a task going."""
    return MessageHandle(
        queue_name=QUEUE,
        actor_name=ACTOR,
        args=(),
        kwargs={"task_id": task.task_id, "goal": task.goal},
        options={"lane": task.lane.label},
        message_id=message_id,
        message_timestamp=_clock.now_ms(),
    )
