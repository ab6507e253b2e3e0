"""`ResultPruner`: deletes results from the object store when their day is over.

Every worker does it, an hour apart; who comes second finds nothing left.
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
from octoqueue.storage.pruning import prune_results

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.storage.protocol import ObjectStore

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(hours=1)


class ResultPruner:
    """Prunes one object store."""

    def __init__(
        self,
        open_objects: Callable[[], ObjectStore | None],
        *,
        look_every: timedelta = LOOK_EVERY,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Prune what `open_objects` gives; it is asked when the first pass is due."""
        self._open_objects = open_objects
        self._every_seconds = look_every.total_seconds()
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311 - spreads the workers, no secret
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._prune())

    async def _prune(self) -> None:
        while True:
            # Half to one and a half: workers that started together do not stay so.
            await self._clock.sleep(self._every_seconds * (0.5 + self._rng.random()))
            try:
                objects = self._open_objects()
                if objects is None:
                    return
                count = await prune_results(objects, now_ms=self._clock.now_ms())
            except StoreError as error:
                log.warning("prune_failed", extra={"reason": str(error)})
            except Exception:
                log.exception("prune_failed")
            else:
                if count:
                    log.info("results_pruned", extra={"results": count})

    async def stop(self) -> None:
        """End. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
