"""`CancelBell`: hears that running messages of some queues were cancelled.

What is heard is only that somebody may have cancelled something; the store is asked which messages.
So nothing is lost when a publish is: after an outage it rings by itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from octoqueue.redis.hub import Hub
    from octoqueue.redis.keys import Keys


class CancelBell:
    """One bell for all queues a store was ever asked for. It is the hub's listener itself."""

    def __init__(self, hub: Hub, keys: Keys) -> None:
        """Listen through `hub`; nothing connects before the first wait."""
        self._hub = hub
        self._keys = keys
        self._channels: set[str] = set()
        self._rung = asyncio.Event()

    async def wait(self, queues: Sequence[str], *, timeout: timedelta) -> bool:
        """Return True as soon as it rings, False after `timeout`.

        Raises:
            StoreUnavailable: the store was closed.
        """
        for channel in {self._keys.cancel_channel(queue) for queue in queues} - self._channels:
            self._hub.listen(channel, self)
            self._channels.add(channel)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True

    def confirmed(self) -> None:
        """Ring: something may have been published while nobody listened."""
        self._rung.set()

    def said(self, data: bytes) -> None:  # noqa: ARG002 - a listener's
        """Ring."""
        self._rung.set()

    def refused(self, reason: str) -> None:  # noqa: ARG002 - a listener's
        """Listen again when next somebody waits; until then the heartbeat is the floor."""
        self._channels.clear()
        self._rung.set()
