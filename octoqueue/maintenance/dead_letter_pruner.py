"""`DeadLetterPruner`: dead letters that nobody wanted for long are removed for good.

Every worker does it for its own queues, about once a minute; who comes second finds nothing left. A
queue that no worker claims from keeps its dead letters.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.protocol import LaneStore

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(minutes=1)


class DeadLetterPruner:
    """Prunes the dead letters of some queues."""

    def __init__(
        self,
        store: LaneStore,
        queues: Sequence[str],
        *,
        older_than: timedelta | None,
        look_every: timedelta = LOOK_EVERY,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Prune what is `older_than` that; nothing when it is None."""
        self._store = store
        self._queues = tuple(queues)
        self._older_than = older_than
        self._every_seconds = look_every.total_seconds()
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311 - spreads the workers, no secret
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        if self._older_than is not None:
            self._task = asyncio.create_task(self._prune(self._older_than))

    async def _prune(self, older_than: timedelta) -> None:
        while True:
            # Half to one and a half: workers that started together do not stay so.
            await self._clock.sleep(self._every_seconds * (0.5 + self._rng.random()))
            for queue in self._queues:
                await self._prune_queue(queue, older_than)

    async def _prune_queue(self, queue: str, older_than: timedelta) -> None:
        try:
            count = await self._store.purge(queue, older_than=older_than)
        except StoreError as error:
            log.debug("prune_failed", extra={"queue": queue, "reason": str(error)})
        except Exception:
            log.exception("prune_failed", extra={"queue": queue})
        else:
            if count:
                log.info("dead_letters_pruned", extra={"queue": queue, "messages": count})

    async def stop(self) -> None:
        """End. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
