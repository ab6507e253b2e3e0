"""`SessionKeeper`: the lease session of a stock dramatiq worker, and the upkeep it needs.

Our own worker has its heartbeat and its maintenance services; a process that runs dramatiq's
`Worker` has neither, so the broker keeps one session alive for all its consumers and moves due and
lost messages of the queues it consumes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.messages import SessionId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from octoqueue.lanes.protocol import LaneStore

log = logging.getLogger(__name__)

_UPKEEP_SECONDS = 0.2
_EXTEND_EVERY = 10
"""Upkeep passes between two renewals: 2 s, a fifth of the default lease."""


def new_session() -> SessionId:
    """Return a session name that says where it lives and never comes again."""
    return SessionId(f"{socket.gethostname()}-{os.getpid()}-{new_message_id().hex()[-12:]}")


class SessionKeeper:
    """Owns the session of one broker in one process."""

    def __init__(
        self,
        opened_store: Callable[[], Awaitable[LaneStore]],
        *,
        clock: Clock | None = None,
    ) -> None:
        self.opened_store = opened_store
        self.clock = clock or SystemClock()
        self._queues: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self.session = SessionId("")

    async def watch(self, queue: str) -> None:
        """Keep the session alive from now on, and look after `queue`."""
        self._queues.add(queue)
        if self._task is None:
            self.session = new_session()
            await (await self.opened_store()).extend(self.session)
            self._task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        store, passes = await self.opened_store(), 0
        while True:
            await self.clock.sleep(_UPKEEP_SECONDS)
            passes += 1
            try:
                for queue in tuple(self._queues):
                    await store.promote(queue)
                if passes % _EXTEND_EVERY == 0:
                    await store.extend(self.session)
                    await store.reclaim()
            except StoreError as error:
                log.warning("upkeep_failed", extra={"reason": str(error)})

    async def stop(self) -> None:
        """End the session. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
