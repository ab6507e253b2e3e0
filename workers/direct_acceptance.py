"""`DirectAcceptance`: the row of a task that names its arm, and its message, both or neither.

    room in the arm's lane? ─► row + outbox row, one statement ─► message sent at once ─► accepted
      429, 503: nothing          503: nothing is known               │ full: both taken back, 429
      is written                 to be accepted                      └ Redis gone: a relay sends it

The bound is that of the lane of the arm's queue, which messages of workflows count against, too. A
Redis that goes after the look at it is noticed by the first message that cannot be sent.

Once the statement has committed the task is accepted, whatever happens to Redis or to this process,
with one exception: when the lane filled up in the meantime, task and message are taken back in one
transaction, and only a caller whose message was still there to be taken is told no. So a caller who
is told no, or 503 because Redis is gone, has no task that runs later.

The message is sent right after the commit, not by a relay, because that is faster; the outbox row
is for what dies in between, and `primitives/once.py` makes both sendings one message. The row is
deleted behind the caller's back.

The weakness: whether a commit that got no answer took effect is unknown. Its caller is told 503,
which means "not known to be accepted", and a task that was committed runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from octoqueue.errors import LaneFull, StoreError
from octoqueue.postgres.grouping import Grouped
from octoqueue.postgres.outbox import Outbox
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.ids import MessageId, id_from_text
from octoqueue.primitives.once import SEND_WITHIN, Once
from workers.direct import Arm, direct_message
from workers.room import Room

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.postgres.pool import PostgresPool
    from octoqueue.primitives.lane import Lane
    from octoqueue.primitives.messages import Enqueue
    from octoqueue.workflows.postgres_tasks import PostgresTaskStore
    from octoqueue.workflows.tasks import NewTask, TaskId

log = logging.getLogger(__name__)

HEAD_START: Final = timedelta(seconds=5)
"""How long the relays leave a new row to us."""
_SEND_SECONDS: Final = 1.0
"""How long a caller waits for a message to be sent that a relay would send anyway."""
_TIDY_SECONDS: Final = 0.1
"""How long rows of what was sent stay, so that one statement deletes many."""
_CLOCK_SECONDS: Final = 2.0
"""How old a reading of the store's clock may be; far less than `SEND_WITHIN`."""
_MILLISECOND: Final = timedelta(milliseconds=1)


class DirectAcceptance:
    """Accepts tasks that name their arm; for one event loop."""

    def __init__(self, pool: PostgresPool, tasks: PostgresTaskStore, broker: LaneBroker) -> None:
        self._pool = pool
        self._tasks = tasks
        self._broker = broker
        self._outbox = Outbox(pool)
        self._accept = Grouped(self._accept_many, key=_id_of, max_under_way=4)
        self._rooms = {arm: self._room(arm) for arm in Arm}
        self._sent: list[MessageId] = []
        self._settled: list[MessageId] = []
        self._tidying: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._clock = SystemClock()
        self._read_clock = (-math.inf, 0)
        """When the store's clock was read, and what it showed."""

    async def aclose(self) -> None:
        """Answer what is under way and delete the rows of what was sent. Idempotent."""
        await self._accept.aclose()
        self._hurry.set()
        if self._tidying is not None:
            await asyncio.wait([self._tidying])

    async def __call__(self, task: NewTask) -> None:
        """Return when the task and its message are there to stay.

        Raises:
            LaneFull: neither is.
            StoreUnavailable: nothing is known to be accepted.
        """
        refusal = await self._accept(task)
        if refusal is not None:
            raise refusal

    def _room(self, arm: Arm) -> Room:
        async def depths() -> Mapping[Lane, int]:
            return (await self._broker.store().stats(arm)).depth

        return Room(
            arm, look=depths, bound=lambda lane: self._broker.store().options.bound(arm, lane)
        )

    async def _accept_many(self, tasks: Sequence[NewTask]) -> Sequence[LaneFull | None]:
        not_after_ms = await self._not_after_ms()
        refusals = await self._without_room(tasks)
        wanted = [task for task in tasks if task.task_id not in refusals]
        if wanted:
            built = [direct_message(task) for task in wanted]
            messages = [self._broker.enveloped(message, delay_ms=0) for message in built]
            actors = [message.actor_name for message in built]
            await self._tasks.accept(wanted, messages, actors=actors, head_start=HEAD_START)
            # They are committed, and so accepted unless they are taken back.
            refusals |= await self._send(wanted, messages, not_after_ms=not_after_ms)
        return [refusals.get(task.task_id) for task in tasks]

    async def _not_after_ms(self) -> int:
        """Return until when the store takes what is committed now; somewhat too soon is safe."""
        read_at, now_ms = self._read_clock
        if self._clock.monotonic() - read_at > _CLOCK_SECONDS:
            read_at, now_ms = self._clock.monotonic(), await self._broker.store().now_ms()
            self._read_clock = read_at, now_ms
        return now_ms + SEND_WITHIN // _MILLISECOND

    async def _without_room(self, tasks: Sequence[NewTask]) -> dict[TaskId, LaneFull]:
        refusals = dict["TaskId", LaneFull]()
        for arm, room in self._rooms.items():
            if for_arm := [task for task in tasks if task.arm == arm]:
                refusals |= await room.refusals(for_arm)
        return refusals

    async def _send(
        self, tasks: Sequence[NewTask], messages: Sequence[Enqueue], *, not_after_ms: int
    ) -> dict[TaskId, LaneFull]:
        """Send the messages of committed tasks; return those that were taken back."""
        settled, self._settled = self._settled, []
        once = Once(not_after_ms=not_after_ms, settled=tuple(settled))
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                answers = await self._broker.store().enqueue_once(messages, once)
        except (StoreError, TimeoutError) as exc:
            self._settled += settled
            self._look_again()
            log.info("left_to_the_relay", extra={"messages": len(tasks), "reason": repr(exc)})
            return {}
        full = {
            task.task_id: answer
            for task, answer in zip(tasks, answers, strict=True)
            if isinstance(answer, LaneFull)
        }
        self._tidy_up([message_id_of(task) for task in tasks if task.task_id not in full])
        if not full:
            return {}
        self._look_again()
        return await self._taken_back(full)

    def _look_again(self) -> None:
        for room in self._rooms.values():
            room.forget()

    async def _taken_back(self, full: dict[TaskId, LaneFull]) -> dict[TaskId, LaneFull]:
        """Take back tasks whose message is still ours; a relay may have sent some meanwhile."""
        ids = {_message_id(task_id): task_id for task_id in full}
        try:
            async with self._pool.transaction(purpose="withdraw_tasks") as connection:
                ours = await self._outbox.delete_in(connection, list(ids))
                taken = [ids[message_id] for message_id in ours]
                await self._tasks.withdraw_in(connection, taken)
        except StoreError as exc:
            # They could not be taken back, so they are accepted: a relay waits for room.
            log.warning("tasks_not_withdrawn", extra={"tasks": len(full), "reason": str(exc)})
            return {}
        return {task_id: full[task_id] for task_id in taken}

    def _tidy_up(self, sent: Sequence[MessageId]) -> None:
        """Delete the rows of what was sent, soon."""
        self._sent += sent
        if self._sent and (self._tidying is None or self._tidying.done()):
            self._tidying = asyncio.create_task(self._tidy())

    async def _tidy(self) -> None:
        while self._sent:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TIDY_SECONDS):
                    await self._hurry.wait()
            sent, self._sent = self._sent, []
            try:
                await self._outbox.delete(sent)
            except StoreError as exc:
                # A relay finds the rows; the store knows their messages.
                log.debug("outbox_not_tidied", extra={"rows": len(sent), "reason": str(exc)})
            else:
                self._settled += sent


def message_id_of(task: NewTask) -> MessageId:
    """Return the id of the message that a task is."""
    return _message_id(task.task_id)


def _id_of(task: NewTask) -> TaskId:
    return task.task_id


def _message_id(task_id: TaskId) -> MessageId:
    found = id_from_text(task_id)
    assert found is not None  # noqa: S101 - a TaskId is one
    return found
