"""`Coalescer`: enqueues of one event-loop tick become one script call.

A hundred coroutines that each await one `asend` cost one round trip, not a hundred. Each group of
messages is still accepted or refused by itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from octoqueue.errors import OctoqueueError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.messages import Enqueue

_MOST_AT_ONCE = 2_000
"""Groups in one call; more go in a second one, so that no script holds the server for long."""


class Coalescer:
    """Collects what is enqueued on one event loop."""

    def __init__(self, store: LaneStore) -> None:
        self._store = store
        self._groups: list[Sequence[Enqueue]] = []
        self._futures: list[asyncio.Future[None]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def enqueue(self, group: Sequence[Enqueue]) -> None:
        """Enqueue a group together with whatever else this tick brings.

        Raises:
            LaneFull: the group did not fit; nothing of it was stored.
            StoreUnavailable: nothing is known about what was stored.
        """
        loop = asyncio.get_running_loop()
        if not self._groups:
            loop.call_soon(self._flush)
        future: asyncio.Future[None] = loop.create_future()
        self._groups.append(group)
        self._futures.append(future)
        await future

    def _flush(self) -> None:
        groups, futures = self._groups, self._futures
        self._groups, self._futures = [], []
        for first in range(0, len(groups), _MOST_AT_ONCE):
            last = first + _MOST_AT_ONCE
            task = asyncio.create_task(self._send(groups[first:last], futures[first:last]))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(
        self, groups: list[Sequence[Enqueue]], futures: list[asyncio.Future[None]]
    ) -> None:
        try:
            refusals = await self._store.enqueue(groups)
        except OctoqueueError as error:
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        except BaseException as error:
            for future in futures:
                future.cancel()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise
        for future, refusal in zip(futures, refusals, strict=True):
            if future.done():
                continue
            if refusal is None:
                future.set_result(None)
            else:
                future.set_exception(refusal)
