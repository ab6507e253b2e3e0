"""`Reclaimer`: messages of workers that died go back to their lanes.

A dead worker is one whose session has expired. The reclaimer sleeps until the next session would
expire if it were not renewed, so that the messages of a worker that died wait for its lease and no
longer. A message that keeps killing its workers is stopped by the worker that claims it next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from octoqueue.lanes.protocol import LaneStore

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=30)
"""How long it sleeps at most, however long the lease: a look tidies up more than sessions."""
AGAIN = timedelta(seconds=1.5)
"""How long it waits when the store is gone, or a session cannot be ended."""
_MARGIN = timedelta(milliseconds=20)


class Reclaimer:
    """Reclaims for all queues."""

    def __init__(
        self,
        store: LaneStore,
        *,
        look_every: timedelta = LOOK_EVERY,
        again: timedelta = AGAIN,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._look_every = look_every
        self._again = min(again, look_every)
        self._clock = clock or SystemClock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._reclaim())

    async def _reclaim(self) -> None:
        while True:
            wait = self._again
            try:
                count = await self._store.reclaim()
                if count:
                    log.warning("messages_reclaimed", extra={"messages": count})
                wait = self._until(await self._store.next_expiry())
            except StoreError as error:
                log.debug("reclaim_failed", extra={"reason": str(error)})
            except Exception:
                log.exception("reclaim_failed")
            await self._clock.sleep(wait.total_seconds())

    def _until(self, expiry: timedelta | None) -> timedelta:
        if expiry is None:
            return self._look_every
        if not expiry:
            return self._again
        return min(expiry + _MARGIN, self._look_every)

    async def stop(self) -> None:
        """End. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
