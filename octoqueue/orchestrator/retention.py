"""`ExecutionPruner`: forgets executions that ended long ago, and makes room for new ones."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from octoqueue.workflows.protocol import WorkflowStore

log = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
AGAIN = timedelta(minutes=1)
"""How long it waits when the store is gone."""


class ExecutionPruner:
    """Prunes now and then; any number may."""

    def __init__(
        self, store: WorkflowStore, *, older_than: timedelta, clock: Clock | None = None
    ) -> None:
        """Prune executions that ended longer ago than `older_than`."""
        self._store = store
        self._older_than = older_than
        self._clock = clock or SystemClock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._prune())

    async def _prune(self) -> None:
        while True:
            wait = EVERY
            try:
                count = await self._store.prune(older_than=self._older_than)
                if count:
                    log.info("executions_pruned", extra={"executions": count})
            except StoreError as error:
                log.warning("executions_not_pruned", extra={"reason": str(error)})
                wait = AGAIN
            except Exception:
                log.exception("executions_not_pruned")
            await self._clock.sleep(wait.total_seconds())

    async def stop(self) -> None:
        """End. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
