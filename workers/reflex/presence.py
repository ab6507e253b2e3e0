"""`EdgePresence`: an edge says how many requests it answers, so that its fleet can be sized.

It holds a session like a worker, in whose name nothing is ever claimed; when the process dies the
session ends, and with it what was said.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Final

from octoqueue.broker.session_keeper import new_session
from octoqueue.errors import StoreError
from octoqueue.primitives.signals import Presence

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.clock import Clock

log = logging.getLogger(__name__)

FLEET: Final = "reflex"
_WINDOW_SECONDS: Final = 60.0
_BEATS_A_LEASE: Final = 4
_LAST_SECONDS: Final = 1.0


class EdgePresence:
    """Keeps the session of one process that serves HTTP."""

    def __init__(
        self, lanes: Callable[[], LaneStore], answered: Callable[[], int], *, clock: Clock
    ) -> None:
        """Begin; `answered` says how many requests there have been so far."""
        self._lanes = lanes
        self._answered = answered
        self._clock = clock
        self._session = new_session()
        self._host, self._pid = socket.gethostname(), os.getpid()
        self._started_at_ms = clock.now_ms()
        self._seen: deque[tuple[float, int]] = deque([(clock.monotonic(), answered())])

    def requests_per_second(self) -> float:
        """Return the mean of the last minute, or since it began; 0 in the first instant."""
        now, count = self._clock.monotonic(), self._answered()
        self._seen.append((now, count))
        while self._seen[1][0] <= now - _WINDOW_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        return (count - before) / (now - since) if now > since else 0.0

    async def run(self) -> None:
        """Say it until cancelled; a store that is gone is tried again."""
        is_down = False
        try:
            while True:
                store = self._lanes()
                try:
                    await store.extend(self._session, self._said())
                    is_down = False
                except StoreError as error:
                    if not is_down:
                        log.warning("presence_failed", extra={"reason": str(error)})
                    is_down = True
                await self._clock.sleep(store.options.lease.total_seconds() / _BEATS_A_LEASE)
        except asyncio.CancelledError:
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    await self._lanes().retire(self._session)
            raise

    def _said(self) -> Presence:
        return Presence(
            session=self._session,
            name=self._session,
            fleet=FLEET,
            queues=(),
            slots=0,
            running=0,
            started_at_ms=self._started_at_ms,
            ready_at_ms=self._started_at_ms,
            said_at_ms=0,
            requests_per_second=self.requests_per_second(),
            host=self._host,
            pid=self._pid,
        )
