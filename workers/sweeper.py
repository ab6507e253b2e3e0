"""Finds tasks whose message is gone: by age, since a message cannot be asked for.

A queued task has lost its message when it was last sent longer ago than the oldest message that
waits for the planner, plus a margin for one that is just being worked on, while no message is late
in the outbox. A new message is written into the outbox in the transaction that stamps the task as
sent anew. A task that has been running for longer than the oldest message of any arm plus an hour
is failed: where it stopped is not known, so it is not started over.

That covers a Redis that lost its memory; a process that is killed loses no message. The weakness:
within the margin nothing is noticed; delayed messages have no age, so while one is delayed nothing
is sent again or failed; and a message that has waited for more than the margin and is in a
planner's hands at this very moment is taken for lost and sent twice, which costs a second run and
changes no outcome.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from octoqueue.workflows.tasks import TaskError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from octoqueue.primitives.messages import QueueStats
    from octoqueue.workflows.task_protocol import TaskStore

log = logging.getLogger(__name__)

INTAKE_MARGIN: Final = timedelta(minutes=10)
"""Far longer than a request may take, and than a planner may hold a message."""
ARM_MARGIN: Final = timedelta(hours=1)
"""Longer than an arm's retries with their pauses."""
BATCH: Final = 200
"""Rows in one sweep; the next one takes the rest."""
ABANDONED: Final = TaskError(
    code="abandoned",
    message="The work on this task was lost; it was not started over. Submit it again.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one sweep did."""

    sent_again: int
    failed: int


def lost_after(planner: QueueStats) -> timedelta | None:
    """Return how long ago a queued task without a message was sent; None while nobody can tell."""
    if planner.delayed:
        return None
    return timedelta(seconds=planner.oldest_age_seconds) + INTAKE_MARGIN


def abandoned_after(queues: Sequence[QueueStats]) -> timedelta | None:
    """Return how long ago a running task that nobody works on was started; None as above.

    After an outage of PostgreSQL, results that are hours old are still on their way to the judge.
    """
    if any(queue.delayed for queue in queues):
        return None
    oldest = max((queue.oldest_age_seconds for queue in queues), default=0.0)
    return timedelta(seconds=oldest) + ARM_MARGIN


class PutBack(Protocol):
    """Writes messages for queued tasks that must have lost theirs."""

    async def __call__(self, *, unsent_for: timedelta, limit: int) -> int:
        """Return how many."""
        ...


class Sweeper:
    """Does one sweep at a time."""

    def __init__(
        self,
        tasks: TaskStore,
        put_back: PutBack,
        read_stats: Callable[[str], Awaitable[QueueStats]],
        *,
        intake_queue: str,
        arm_queues: Sequence[str],
    ) -> None:
        self._tasks = tasks
        self._put_back = put_back
        self._read_stats = read_stats
        self._intake_queue = intake_queue
        self._arm_queues = tuple(arm_queues)

    async def sweep(self) -> Swept:
        """Send lost tasks again and fail abandoned ones.

        Raises:
            StoreUnavailable: a server is gone; what was done is done, the next sweep does the rest.
        """
        planner = await self._read_stats(self._intake_queue)
        arms = [await self._read_stats(queue) for queue in self._arm_queues]
        swept = Swept(
            sent_again=await self._send_again(planner),
            failed=await self._fail_abandoned([planner, *arms]),
        )
        if swept.sent_again or swept.failed:
            log.warning(
                "tasks_swept", extra={"sent_again": swept.sent_again, "failed": swept.failed}
            )
        return swept

    async def _send_again(self, planner: QueueStats) -> int:
        unsent_for = lost_after(planner)
        if unsent_for is None:
            return 0
        return await self._put_back(unsent_for=unsent_for, limit=BATCH)

    async def _fail_abandoned(self, queues: Sequence[QueueStats]) -> int:
        running_for = abandoned_after(queues)
        if running_for is None:
            return 0
        failed = await self._tasks.fail_abandoned(
            running_for=running_for, error=ABANDONED, limit=BATCH
        )
        return len(failed)
