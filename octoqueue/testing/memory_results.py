"""The kept results of the memory store, and who waits for them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.ids import MessageId


class MemoryResults:
    """Results by message, each until its time is over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[MessageId, tuple[int, bytes]] = {}
        self._waiters: dict[MessageId, list[asyncio.Future[bytes]]] = defaultdict(list)

    def keep(self, message_id: MessageId, body: bytes, ttl_ms: int) -> None:
        """Keep a result and wake who waits for it."""
        self._kept[message_id] = (self._clock.now_ms() + ttl_ms, body)
        for future in self._waiters.get(message_id, ()):
            if not future.done():
                future.set_result(body)

    def drop(self, message_id: MessageId) -> None:
        """Forget a result, so that who asks waits for the next run."""
        self._kept.pop(message_id, None)

    def get(self, message_id: MessageId) -> bytes | None:
        """Return a result, None when there is none (any more)."""
        expires_at, body = self._kept.get(message_id, (0, b""))
        return body if expires_at > self._clock.now_ms() else None

    async def wait(self, message_id: MessageId, *, timeout: timedelta) -> bytes | None:
        """Return a result as soon as it is kept, None after `timeout`."""
        found = self.get(message_id)
        if found is not None:
            return found
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        waiters = self._waiters[message_id]
        waiters.append(future)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await future
        except TimeoutError:
            return None
        finally:
            waiters.remove(future)
            if not waiters:
                self._waiters.pop(message_id, None)
