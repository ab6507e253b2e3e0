"""A clock that moves only when told."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import timedelta


class FakeClock:
    """Implements `Clock`; `advance` moves time and wakes whoever slept long enough."""

    def __init__(self, now_ms: int = 1_000_000) -> None:
        self._now_ms = now_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_ms(self) -> int:
        """Return the time set."""
        return self._now_ms

    def monotonic(self) -> float:
        """Return the time set, in seconds."""
        return self._now_ms / 1000

    async def sleep(self, seconds: float) -> None:
        """Return when `advance` has moved the clock by `seconds`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        until = self._now_ms + round(seconds * 1000)
        heapq.heappush(self._sleepers, (until, next(self._order), future))
        await future

    def advance(self, by: int | timedelta) -> None:
        """Move the clock forward, by a duration or by milliseconds."""
        self._now_ms += by // timedelta(milliseconds=1) if isinstance(by, timedelta) else by
        while self._sleepers and self._sleepers[0][0] <= self._now_ms:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)
