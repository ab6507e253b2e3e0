"""`Reclaimer`: messages of workers that died go back to their lanes.

A dead worker is one whose session has expired. Its messages wait at most the lease plus one
interval; a message that keeps killing its workers is stopped by the worker that claims it next.
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

LOOK_EVERY = timedelta(seconds=1.5)


class Reclaimer:
    """Reclaims for all queues."""

    def __init__(
        self,
        store: LaneStore,
        *,
        look_every: timedelta = LOOK_EVERY,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._every_seconds = look_every.total_seconds()
        self._clock = clock or SystemClock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._reclaim())

    async def _reclaim(self) -> None:
        while True:
            try:
                count = await self._store.reclaim()
            except StoreError as error:
                log.debug("reclaim_failed", extra={"reason": str(error)})
            except Exception:
                log.exception("reclaim_failed")
            else:
                if count:
                    log.warning("messages_reclaimed", extra={"messages": count})
            await self._clock.sleep(self._every_seconds)

    async def stop(self) -> None:
        """End. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
