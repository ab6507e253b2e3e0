"""`Coalescer`: enqueues that come together become one script call.

What comes alone is sent at once, by whoever sends it. What comes while something travels waits
for the end of the event-loop tick, or, when less waits than travels, for the next answer: a hundred
coroutines that each await one `asend` cost about one round trip, not a hundred, and few calls
travel at a time however many send. Each group of messages is still accepted or refused by itself.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from octoqueue.errors import InvalidMessage, LaneFull

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.answers import Duplicates, EnqueueAnswer
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.messages import Enqueue

    Sending = tuple[Sequence[Enqueue], asyncio.Future[Duplicates | None]]

MAX_GROUP = 50_000
"""Messages that may be accepted all or none: more arguments than that Redis does not take."""

_MOST_AT_ONCE = 2_000
"""Messages in one call, unless a single group has more; the rest goes in a second one, so that no
script holds the server for long."""


class Coalescer:
    """Collects what is enqueued on one event loop."""

    def __init__(self, store: LaneStore) -> None:
        self._store = store
        self._waiting: list[Sending] = []
        self._travelling = 0
        """Groups on their way."""
        self._is_crowded = False
        """Whether several groups left together last time: then the next waits for neighbours."""
        self._is_called = False
        """Whether what waits leaves at the end of this tick."""
        self._sending: set[asyncio.Task[list[EnqueueAnswer]]] = set()
        self._landed: asyncio.Future[None] | None = None

    async def enqueue(self, group: Sequence[Enqueue]) -> Duplicates | None:
        """Enqueue a group, maybe together with others; return its duplicates.

        Cancelled while it waits, it takes the group back; cancelled later, the group may be stored.

        Raises:
            InvalidMessage: the group has too many messages.
            LaneFull: the group did not fit; nothing of it was stored.
            StoreUnavailable: nothing is known about what was stored.
        """
        if len(group) > MAX_GROUP:
            raise InvalidMessage("messages", f"at most {MAX_GROUP:,} in one call, not {len(group)}")
        if self._travelling or self._waiting or self._is_crowded:
            future: asyncio.Future[Duplicates | None] = asyncio.get_running_loop().create_future()
            self._waiting.append((group, future))
            if not self._is_called and len(self._waiting) >= self._travelling:
                self._call()
            return await future
        self._travelling = 1
        try:
            (answer,) = await self._store.enqueue((group,))
        finally:
            self._land(1)
        if isinstance(answer, LaneFull):
            raise answer
        return answer

    async def sent(self) -> None:
        """Return when nothing is on its way any more."""
        self._flush()
        while self._travelling:
            self._landed = asyncio.get_running_loop().create_future()
            await self._landed

    def _call(self) -> None:
        self._is_called = True
        asyncio.get_running_loop().call_soon(self._flush)

    def _land(self, groups: int) -> None:
        self._travelling -= groups
        if self._waiting and not self._is_called and len(self._waiting) >= self._travelling:
            self._call()  # after whoever has been told has had a turn, and may have sent again
        if self._landed is not None and not self._landed.done():
            self._landed.set_result(None)

    def _flush(self) -> None:
        self._is_called = False
        waiting, self._waiting = self._waiting, []
        self._is_crowded = len(waiting) > 1
        together: list[Sending] = []
        count = 0
        for sending in waiting:
            if sending[1].done():
                continue  # cancelled meanwhile
            if together and count + len(sending[0]) > _MOST_AT_ONCE:
                self._start(together)
                together, count = [], 0
            together.append(sending)
            count += len(sending[0])
        if together:
            self._start(together)

    def _start(self, sendings: list[Sending]) -> None:
        self._travelling += len(sendings)
        call = self._store.enqueue([group for group, _ in sendings])
        self._sending.add(task := asyncio.create_task(call))
        task.add_done_callback(partial(self._arrived, sendings))

    def _arrived(self, sendings: list[Sending], task: asyncio.Task[list[EnqueueAnswer]]) -> None:
        """Tell all who wait; also when the task was cancelled before its first step."""
        self._sending.discard(task)
        if task.cancelled():
            for _, future in sendings:
                future.cancel()
        elif (error := task.exception()) is not None:
            for _, future in sendings:
                if not future.done():
                    future.set_exception(error)
        else:
            _tell(sendings, task.result())
        self._land(len(sendings))


def _tell(sendings: Sequence[Sending], answers: Sequence[EnqueueAnswer]) -> None:
    for (_, future), answer in zip(sendings, answers, strict=True):
        if future.done():
            continue
        if isinstance(answer, LaneFull):
            future.set_exception(answer)
        else:
            future.set_result(answer)
