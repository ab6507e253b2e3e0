"""`ResultHub`: any number of callers waiting for results, on one connection.

Each waited-for message has a channel; the script that commits the result publishes it there. Each
time the channel's subscription is confirmed the result's key is read, so one that was kept before,
or while the connection was down, is found.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError, StoreUnavailable
from octoqueue.redis.hub import AGAIN_SECONDS, Hub

if TYPE_CHECKING:
    from octoqueue.primitives.clock import Clock
    from octoqueue.redis.client import RedisClient

log = logging.getLogger(__name__)


class ResultHub:
    """Waits for results by channel name."""

    def __init__(
        self, client: RedisClient, *, hub: Hub | None = None, clock: Clock | None = None
    ) -> None:
        """Wait on `hub`, or on one of its own."""
        self._hub = hub or Hub(client, clock=clock)
        self._wishes: dict[str, _Wish] = {}

    async def wait(self, *, channel: str, key: str) -> bytes:
        """Return the result published on `channel` or standing at `key`.

        Raises:
            StoreUnavailable: Redis cannot be reached, or this hub was closed. A wait that had begun
                outlives an outage.
        """
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        wish = self._wishes.get(channel)
        if wish is None:
            wish = _Wish(self._hub, channel, key)
            self._hub.listen(channel, wish)
            self._wishes[channel] = wish
        elif self._hub.is_heard(channel):
            wish.confirmed()  # it may have been published before this caller came
        wish.futures.add(future)
        try:
            return await future
        finally:
            wish.futures.discard(future)
            if not wish.futures and self._wishes.get(channel) is wish:
                del self._wishes[channel]
                self._hub.leave(channel, wish)

    async def aclose(self) -> None:
        """Stop listening; whoever waits is told so. Idempotent."""
        await self._hub.aclose()


class _Wish:
    """A result somebody waits for; listens to its channel."""

    def __init__(self, hub: Hub, channel: str, key: str) -> None:
        self._hub = hub
        self._channel = channel
        self._key = key
        self.futures: set[asyncio.Future[bytes]] = set()

    def confirmed(self) -> None:
        """Read the key."""
        self._hub.start(self._look_up())

    async def _look_up(self) -> None:
        async with self._hub.reading:
            while self.futures:
                try:
                    found = await self._hub.client.command("GET", self._key)
                except StoreError as error:
                    log.debug("result_look_up_failed", extra={"reason": str(error)})
                    await self._hub.clock.sleep(AGAIN_SECONDS)
                    continue
                if found is not None:
                    self.said(found)
                return

    def said(self, data: bytes) -> None:
        """Give the result to everybody."""
        for future in self.futures:
            if not future.done():
                future.set_result(data)

    def refused(self, reason: str) -> None:
        """Tell everybody that there will be none."""
        for future in self.futures:
            if not future.done():
                future.set_exception(StoreUnavailable("Redis", reason=reason))
