"""`Coalescer`: enqueues of one event-loop tick become one script call.

A hundred coroutines that each await one `asend` cost one round trip, not a hundred. Each group of
messages is still accepted or refused by itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.messages import Enqueue

    Sending = tuple[Sequence[Enqueue], asyncio.Future[None]]

_MOST_AT_ONCE = 2_000
"""Groups in one call; more go in a second one, so that no script holds the server for long."""


class Coalescer:
    """Collects what is enqueued on one event loop."""

    def __init__(self, store: LaneStore) -> None:
        self._store = store
        self._waiting: list[Sending] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def enqueue(self, group: Sequence[Enqueue]) -> None:
        """Enqueue a group together with whatever else this tick brings.

        Cancelled before the tick is over, it takes the group back.

        Raises:
            LaneFull: the group did not fit; nothing of it was stored.
            StoreUnavailable: nothing is known about what was stored.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((group, future))
        await future

    async def sent(self) -> None:
        """Return when nothing is on its way any more."""
        self._flush()
        while self._sending:
            await asyncio.wait(self._sending)

    def _flush(self) -> None:
        wanted = [sending for sending in self._waiting if not sending[1].done()]
        self._waiting.clear()
        for first in range(0, len(wanted), _MOST_AT_ONCE):
            task = asyncio.create_task(self._send(wanted[first : first + _MOST_AT_ONCE]))
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
            if refusal is None:
                future.set_result(None)
            else:
                future.set_exception(refusal)
