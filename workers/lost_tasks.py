"""Looks after tasks that name their arm: is the message of each still there?

    unfinished, not looked after for a while, not in the outbox
      └─► is its message in Redis? ─ yes ─► all is well
                │ no
                └─► still unfinished? ─► queued, or running for less than an hour: sent again
                                         running for longer: failed, `abandoned`

A message is acked after the row has ended. So when it is gone and a look at the row *after that*
says unfinished, it was lost with Redis's memory, and nobody else works on the task for good. It is
sent again with its id, as one that may have been sent before, so that a relay that still has it
makes no second message of it. An arm that was at work while Redis lost its memory may end the row
before the second message does; the first outcome stays.

Redis loses its memory as a whole, so a sweep looks at the few tasks that were not looked after for
longest, and at the others only when one of these is lost.

The weaknesses: to look for a message reads its queue, so a loss is noticed some seconds late, and a
message that was lost alone, later the more tasks wait. And a message that somebody has cancelled
looks like one that was lost, so a task that names its arm cannot be cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final

from octoqueue.errors import LaneFull
from octoqueue.lanes.finding import State
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.once import SEND_WITHIN, Once
from octoqueue.workflows.tasks import FINAL_STATUSES, TaskError, TaskStatus
from workers.direct import direct_message
from workers.direct_acceptance import message_id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.workflows.task_protocol import TaskStore
    from octoqueue.workflows.tasks import NewTask, Task

log = logging.getLogger(__name__)

LONGEST_RUN: Final = timedelta(hours=1)
"""Longer than an arm's retries with their pauses."""
SAMPLE: Final = 10
"""Looked at in any case."""
BATCH: Final = 100
"""Looked at at once when some of the sample are lost."""
MOST_BATCHES: Final = 50
"""In one sweep; the next one takes the rest."""
_clock: Final = SystemClock()
_FINDS_AT_ONCE: Final = 8
_MILLISECOND: Final = timedelta(milliseconds=1)
ABANDONED: Final = TaskError(
    code="abandoned", message="The work on this task was lost. Submit it again."
)


class Fate(Enum):
    """What is to be done about a task."""

    LEAVE = "leave"
    SEND_AGAIN = "send again"
    ABANDON = "abandon"


def fate_of(task: Task | None, message: State, *, now: datetime) -> Fate:
    """Return what is to be done about a task, read after its message was looked for. Pure."""
    if task is None or task.status in FINAL_STATUSES or message is not State.UNKNOWN:
        return Fate.LEAVE
    has_run_for_long = (
        task.status is TaskStatus.RUNNING
        and task.started_at is not None
        and now - task.started_at > LONGEST_RUN
    )
    return Fate.ABANDON if has_run_for_long else Fate.SEND_AGAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one sweep did."""

    sent_again: int = 0
    failed: int = 0


class LostTasks:
    """Finds tasks whose message is gone. Any number of processes may look at the same time."""

    def __init__(self, tasks: TaskStore, broker: LaneBroker) -> None:
        self._tasks = tasks
        self._broker = broker

    async def sweep(self, *, unseen_for: timedelta) -> Swept:
        """Send lost tasks again and fail those that nobody works on.

        Tasks sent or looked for less than `unseen_for` ago are left alone.

        Raises:
            StoreUnavailable: a server is gone; what was done is done, a later sweep does the rest.
        """
        sent_again = failed = 0
        for batch in range(MOST_BATCHES):
            limit = BATCH if batch else SAMPLE
            looked_at = await self._tasks.look_after(unseen_for=unseen_for, limit=limit)
            fates = await self._fates(looked_at)
            lost = _with_fate(looked_at, fates, Fate.SEND_AGAIN)
            sent_again += await self._send_again(lost)
            abandoned = _with_fate(looked_at, fates, Fate.ABANDON)
            for task in abandoned:
                await self._tasks.fail(task.task_id, error=ABANDONED, attempts=0)
            failed += len(abandoned)
            if len(looked_at) < limit or not lost:
                break
        if sent_again or failed:
            log.warning("lost_tasks", extra={"sent_again": sent_again, "failed": failed})
        return Swept(sent_again=sent_again, failed=failed)

    async def _fates(self, looked_at: Sequence[NewTask]) -> list[Fate]:
        at_once = asyncio.Semaphore(_FINDS_AT_ONCE)
        store = self._broker.store()

        async def found(task: NewTask) -> State:
            async with at_once:
                return (await store.find(message_id_of(task), queue=task.arm)).state

        states = await asyncio.gather(*(found(task) for task in looked_at))
        # Not before: what ended while we looked has ended its row before its message went.
        rows = await asyncio.gather(*(self._tasks.get(task.task_id) for task in looked_at))
        now = datetime.fromtimestamp(_clock.now_ms() / 1000, tz=UTC)
        return [fate_of(row, state, now=now) for row, state in zip(rows, states, strict=True)]

    async def _send_again(self, lost: Sequence[NewTask]) -> int:
        """Send messages that are gone; what finds its lane full is looked after again later."""
        if not lost:
            return 0
        store = self._broker.store()
        once = Once(not_after_ms=await store.now_ms() + SEND_WITHIN // _MILLISECOND)
        messages = [self._broker.enveloped(direct_message(task), delay_ms=0) for task in lost]
        answers = await store.enqueue_once(messages, once)
        return sum(not isinstance(answer, LaneFull) for answer in answers)


def _with_fate(tasks: Sequence[NewTask], fates: Sequence[Fate], wanted: Fate) -> list[NewTask]:
    return [task for task, fate in zip(tasks, fates, strict=True) if fate is wanted]
