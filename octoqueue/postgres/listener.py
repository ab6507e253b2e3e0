"""`Listener`: hears the notifications of one channel on a connection of its own.

A notification only says that looking is worth while: one may be lost with the connection, so
whoever listens also looks by itself now and then. A lost connection is made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from octoqueue.errors import OctoqueueError, StoreUnavailable
from octoqueue.postgres.sqlstate import STORE
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.postgres.pool import PostgresPool

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0


class Listener:
    """A service that calls a function when a channel is notified, and when it begins to hear."""

    def __init__(
        self,
        pool: PostgresPool,
        channel: str,
        heard: Callable[[], None],
        *,
        clock: Clock | None = None,
    ) -> None:
        self._pool = pool
        self._channel = channel
        self._heard = heard
        self._clock = clock or SystemClock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """End. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except OctoqueueError as error:
                log.debug("listening_failed", extra={"reason": str(error)})
            except Exception:
                log.exception("listening_failed")
            await self._clock.sleep(_AGAIN_SECONDS)

    async def _hear(self) -> None:
        async with self._pool.dedicated(purpose=f"listen {self._channel}") as connection:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(self._channel, self._notified)
            self._heard()  # what was notified while nobody listened
            await lost.wait()
            raise StoreUnavailable(STORE, reason="the connection that listens was lost")

    def _notified(self, *_about: object) -> None:
        self._heard()
