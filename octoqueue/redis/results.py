"""`ResultHub`: any number of callers waiting for results, on one connection.

Each waited-for message has a channel; the script that commits the result publishes it there. A
result that was there before, or came while the connection was down, is found by reading its key
each time the subscription is confirmed, so no publish can be missed for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import RedisError

from octoqueue.errors import StoreError
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.redis.client import RedisClient

log = logging.getLogger(__name__)

_RECONNECT_SECONDS = 0.5


class ResultHub:
    """Waits for results by channel name."""

    def __init__(self, client: RedisClient, *, clock: Clock | None = None) -> None:
        """Wait on `client`; nothing connects before the first wait."""
        self._client = client
        self._clock = clock or SystemClock()
        self._waiters: dict[str, list[asyncio.Future[bytes]]] = {}
        self._keys: dict[str, str] = {}
        self._pubsub: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._lookups: set[asyncio.Task[None]] = set()

    async def wait(self, *, channel: str, key: str) -> bytes:
        """Return the result published on `channel` or standing at `key`."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        first = channel not in self._waiters
        self._waiters.setdefault(channel, []).append(future)
        self._keys[channel] = key
        try:
            if self._pubsub is None:
                self._pubsub = self._client.subscriber()
            if first:
                await self._client.guarded(lambda: self._pubsub.subscribe(channel))
                if self._reader is None:
                    self._reader = asyncio.create_task(self._read())
            else:
                await self._look_up(channel)
            return await future
        finally:
            await self._forget(channel, future)

    async def _forget(self, channel: str, future: asyncio.Future[bytes]) -> None:
        future.cancel()
        waiting = self._waiters.get(channel)
        if waiting is None:
            return
        waiting.remove(future)
        if not waiting:
            del self._waiters[channel]
            del self._keys[channel]
            with contextlib.suppress(RedisError, OSError):
                await self._pubsub.unsubscribe(channel)

    async def _read(self) -> None:
        while True:
            try:
                message = await self._pubsub.get_message(timeout=None)
            except (RedisError, OSError) as error:
                log.warning("result_subscription_lost", extra={"reason": str(error)})
                await self._clock.sleep(_RECONNECT_SECONDS)
                continue  # redis-py subscribes again by itself, which confirms, which looks up
            if message is None:
                await self._clock.sleep(_RECONNECT_SECONDS)
                continue
            channel = cast("bytes", message["channel"]).decode()
            if message["type"] == "message":
                self._resolve(channel, message["data"])
            elif message["type"] == "subscribe" and channel in self._waiters:
                task = asyncio.create_task(self._look_up(channel))
                self._lookups.add(task)
                task.add_done_callback(self._lookups.discard)

    async def _look_up(self, channel: str) -> None:
        key = self._keys.get(channel)
        if key is None:
            return
        try:
            found = await self._client.command("GET", key)
        except StoreError as error:
            for future in self._waiters.get(channel, ()):
                if not future.done():
                    future.set_exception(error)
            return
        if found is not None:
            self._resolve(channel, found)

    def _resolve(self, channel: str, body: bytes) -> None:
        for future in self._waiters.get(channel, ()):
            if not future.done():
                future.set_result(body)

    async def aclose(self) -> None:
        """Stop listening; every waiter is cancelled. Idempotent."""
        await _cancelled(self._reader)
        self._reader = None
        for task in tuple(self._lookups):
            await _cancelled(task)
        for futures in self._waiters.values():
            for future in futures:
                future.cancel()
        if self._pubsub is not None:
            close: Callable[[], Any] = self._pubsub.aclose
            with contextlib.suppress(RedisError, OSError):
                await close()
            self._pubsub = None


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
