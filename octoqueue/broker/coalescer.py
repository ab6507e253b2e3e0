"""`Coalescer`: enqueues of one event-loop tick become one script call.

A hundred coroutines that each await one `asend` cost one round trip, not a hundred. Each group of
messages is still accepted or refused by itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from octoqueue.errors import InvalidMessage, LaneFull

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.answers import Duplicates
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
        self._sending: set[asyncio.Task[None]] = set()

    async def enqueue(self, group: Sequence[Enqueue]) -> Duplicates | None:
        """Enqueue a group together with whatever else this tick brings; return its duplicates.

        Cancelled before the tick is over, it takes the group back.

        Raises:
            InvalidMessage: the group has too many messages.
            LaneFull: the group did not fit; nothing of it was stored.
            StoreUnavailable: nothing is known about what was stored.
        """
        if len(group) > MAX_GROUP:
            raise InvalidMessage("messages", f"at most {MAX_GROUP:,} in one call, not {len(group)}")
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        future: asyncio.Future[Duplicates | None] = loop.create_future()
        self._waiting.append((group, future))
        return await future

    async def sent(self) -> None:
        """Return when nothing is on its way any more."""
        self._flush()
        while self._sending:
            await asyncio.wait(self._sending)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
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
        task = asyncio.create_task(self._send(sendings))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, sendings: list[Sending]) -> None:
        try:
            refusals = await self._store.enqueue([group for group, _ in sendings])
        except asyncio.CancelledError:
            for _, future in sendings:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - raised where each of them is awaited
            for _, future in sendings:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), refusal in zip(sendings, refusals, strict=True):
            if future.done():
                continue
            if isinstance(refusal, LaneFull):
                future.set_exception(refusal)
            else:
                future.set_result(refusal)
