"""Tasks that name their arm: who can be named, and the message that such a task is.

    POST {"arm": …}  →  task (a row) + message for the arm  →  accepted, both or neither

No plan, no review, no repair, no journal: one message, whose id is the task's.
`direct_acceptance.py` says how row and message are kept together, `direct_work.py` what an arm does
with it, and `lost_tasks.py` what becomes of a task whose message is gone. The actors are named
here, not imported: whoever takes tasks in does not run them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from octoqueue.broker.handles import MessageHandle
from octoqueue.primitives.clock import SystemClock

if TYPE_CHECKING:
    from octoqueue.workflows.tasks import NewTask

_clock: Final = SystemClock()


class Arm(StrEnum):
    """Who can be asked to do a task by itself; also the name of its queue."""

    EXECUTOR = "executor"
    CODER = "coder"
    RETRIEVER = "retriever"
    GUARDIAN = "guardian"

    @property
    def actor(self) -> str:
        """The actor that does such tasks."""
        return _ACTORS[self]


_ACTORS: Final = {
    Arm.EXECUTOR: "execute",
    Arm.CODER: "write_code",
    Arm.RETRIEVER: "retrieve",
    Arm.GUARDIAN: "analyze",
}


def direct_message(task: NewTask) -> MessageHandle[None]:
    """Return the message that a task is; of one that names its arm."""
    arm = Arm(task.arm or "")
    return MessageHandle(
        queue_name=arm.value,
        actor_name=arm.actor,
        args=(),
        kwargs={"task_id": task.task_id, "goal": task.goal},
        options={"lane": task.lane.label},
        message_id=task.task_id,
        message_timestamp=_clock.now_ms(),
    )
