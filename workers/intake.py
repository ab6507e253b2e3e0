"""How a task comes in, and how one that lost its message comes back.

    insert the row (queued)  →  enqueue the message  →  accepted

The row goes first, so a worker that claims the message finds it. When the message is not accepted
(the lane is full, Redis is gone, time is up) the row is taken back and the caller told no; a worker
that finds no row for a message drops it, which covers a message whose enqueueing only seemed to
fail. What dies between insert and enqueue was not accepted: nobody was told its id.

The weakness is when taking back fails too, because PostgreSQL went away in between: the row stays,
and the sweep will send its message although its caller was told no. A refusal with 503 therefore
means "not known to be accepted", as it does everywhere.

The planner is named here, not imported: whoever takes tasks in does not run them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from octoqueue.broker.handles import MessageHandle
from octoqueue.errors import StoreError
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.workflow.tasks import NewTask, TaskId, new_task_id

if TYPE_CHECKING:
    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.primitives.lane import Lane
    from octoqueue.workflow.protocol import TaskStore

log = logging.getLogger(__name__)

QUEUE: Final = "planner"
ACTOR: Final = "plan"
_TAKE_BACK_SECONDS: Final = 1.0
"""A caller who is told no is not kept waiting for tidiness."""


class Enqueue(Protocol):
    """Sends the message that sets a task going."""

    async def __call__(self, task: NewTask, *, message_id: str) -> None:
        """Return when it was accepted.

        Raises:
            LaneFull: it was not.
            StoreUnavailable: whether it was is unknown.
        """
        ...


class PlannerQueue:
    """`Enqueue` through the broker, by the planner's name."""

    def __init__(self, broker: LaneBroker, *, clock: Clock | None = None) -> None:
        self._broker = broker
        self._clock = clock or SystemClock()

    async def __call__(self, task: NewTask, *, message_id: str) -> None:
        """Send it."""
        message: MessageHandle[None] = MessageHandle(
            queue_name=QUEUE,
            actor_name=ACTOR,
            args=(),
            kwargs={"task_id": task.task_id, "goal": task.goal},
            options={"lane": task.lane.label},
            message_id=message_id,
            message_timestamp=self._clock.now_ms(),
        )
        await self._broker.aenqueue(message)


class Intake:
    """Takes tasks in."""

    def __init__(self, tasks: TaskStore, enqueue: Enqueue) -> None:
        self._tasks = tasks
        self._enqueue = enqueue

    async def submit(self, goal: str, *, lane: Lane) -> TaskId:
        """Return the id of an accepted task. Its first message has the same id.

        Raises:
            InvalidMessage: the goal cannot be kept; names the field.
            LaneFull: the lane has no room; nothing was accepted.
            StoreUnavailable: a server is gone; nothing is known to be accepted.
        """
        task = NewTask(task_id=new_task_id(), goal=goal, lane=lane)
        try:
            await self._tasks.add(task)
            await self._enqueue(task, message_id=task.task_id)
        except BaseException:
            await self._take_back(task.task_id)
            raise
        return task.task_id

    async def put_back(self, task: NewTask) -> None:
        """Send a message for a task that has lost its own; raises as `Enqueue` does."""
        await self._enqueue(task, message_id=new_task_id())

    async def _take_back(self, task_id: TaskId) -> None:
        try:
            async with asyncio.timeout(_TAKE_BACK_SECONDS):
                await self._tasks.withdraw(task_id)
        except (StoreError, TimeoutError) as exc:
            log.warning("task_not_withdrawn", extra={"task_id": task_id, "reason": repr(exc)})
