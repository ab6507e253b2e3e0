"""`Promoter`: delayed messages that are due become ready.

It sleeps until the next one is due, at most a second. A message that becomes the next one due rings
its queue's doorbell; the worker that hears it and finds nothing to claim nudges its promoter, which
then learns of the earlier moment. When every worker is busy nobody hears it, and the message is
promoted up to a second late, by a worker that could not have run it anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.protocol import LaneStore

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=1)
_LEAST = timedelta(milliseconds=1)


class Promoter:
    """Promotes the delayed messages of some queues."""

    def __init__(
        self, store: LaneStore, queues: Sequence[str], *, look_every: timedelta = LOOK_EVERY
    ) -> None:
        self._store = store
        self._queues = tuple(queues)
        self._look_every = look_every
        self._nudged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._promote())

    def nudge(self) -> None:
        """Look now: something may be due earlier than thought."""
        self._nudged.set()

    async def _promote(self) -> None:
        while True:
            self._nudged.clear()
            wait = self._look_every
            try:
                for queue in self._queues:
                    promotion = await self._store.promote(queue)
                    if promotion.moved:
                        log.debug(
                            "messages_promoted", extra={"queue": queue, "messages": promotion.moved}
                        )
                    if promotion.next_due is not None:
                        wait = min(wait, max(promotion.next_due, _LEAST))
            except StoreError as error:
                log.debug("promote_failed", extra={"reason": str(error)})
            except Exception:
                log.exception("promote_failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait.total_seconds()):
                    await self._nudged.wait()

    async def stop(self) -> None:
        """End. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
