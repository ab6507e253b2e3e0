"""`Hub`: any number of listeners to channels, on one connection.

A publish reaches only who is subscribed at that moment. So each listener is told every time Redis
confirms its subscription, the first time and after each outage: what it waits for may have come
before, and it reads where that stands. Thus no publish can be missed for good.

One task owns the connection. Listeners only come and go, so one that leaves in any instant leaves
the others as they are.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol, cast

from octoqueue.errors import StoreUnavailable
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.redis.failures import cancellable

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from octoqueue.redis.client import RedisClient

log = logging.getLogger(__name__)

CLOSED = "the connection was closed"
AGAIN_SECONDS = 0.5
_QUIET_SECONDS = 15.0
"""After so long without a word the connection is asked whether it lives."""
_READS_AT_ONCE = 8
"""So that a thousand listeners that come back after an outage leave room for commands."""


class Listener(Protocol):
    """Who listens to one channel. Nothing here may raise or block."""

    def confirmed(self) -> None:
        """The channel is listened to (again): what was published before is to be read."""
        ...

    def said(self, data: bytes) -> None:
        """Something was published."""
        ...

    def refused(self, reason: str) -> None:
        """The channel will not be listened to."""
        ...


class Hub:
    """Listens to channels by name, one listener each."""

    def __init__(self, client: RedisClient, *, clock: Clock | None = None) -> None:
        """Listen on `client`; nothing connects before the first listener."""
        self.client = client
        self.clock = clock or SystemClock()
        self.reading = asyncio.Semaphore(_READS_AT_ONCE)
        """To be held while a listener reads."""
        self._listeners: dict[str, Listener] = {}
        self._heard: set[str] = set()
        """Channels whose subscription has been confirmed at least once."""
        self._changed: set[str] = set()
        """Channels somebody began or ceased to listen to."""
        self._change = asyncio.Event()
        self._is_lost = False
        """Whether the connection is gone, and the log knows."""
        self._serving: asyncio.Task[None] | None = None
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, channel: str, listener: Listener) -> None:
        """Listen to a channel that nobody listens to here.

        Raises:
            StoreUnavailable: the hub was closed.
        """
        if self._closed:
            raise StoreUnavailable("Redis", reason=CLOSED)
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve())
        self._listeners[channel] = listener
        self._note(channel)

    def leave(self, channel: str, listener: Listener) -> None:
        """Listen no more; nothing happens when another has taken the channel meanwhile."""
        if self._listeners.get(channel) is listener:
            del self._listeners[channel]
            self._heard.discard(channel)
            self._note(channel)

    def is_heard(self, channel: str) -> bool:
        """Whether the subscription of a channel has been confirmed."""
        return channel in self._heard

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what a listener has to read; it ends with the hub."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note(self, channel: str) -> None:
        self._changed.add(channel)
        self._change.set()

    # ── the connection ───────────────────────────────────────────────────────────────────────────

    async def _serve(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 - whatever ended it, nobody may wait for ever
                if not self._is_lost:
                    log.warning("subscription_lost", extra={"reason": str(error)})
                self._is_lost = True
                self._refuse_the_unheard(error)
            await self.clock.sleep(AGAIN_SECONDS)

    async def _listen(self) -> None:
        """Serve one connection until it breaks."""
        async with self.client.subscription() as pubsub:
            self._changed = set(self._listeners)
            self._change.set()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._subscribe(pubsub))
                    group.create_task(self._read(pubsub))
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None

    async def _subscribe(self, pubsub: Any) -> None:
        while True:
            await self._change.wait()
            self._change.clear()
            changed, self._changed = self._changed, set()
            wanted = [channel for channel in changed if channel in self._listeners]
            unwanted = [channel for channel in changed if channel not in self._listeners]
            if wanted:
                await cancellable(pubsub.subscribe(*wanted))
            if unwanted:
                await cancellable(pubsub.unsubscribe(*unwanted))

    async def _read(self, pubsub: Any) -> None:
        asked = False
        while True:
            message = await cancellable(pubsub.get_message(timeout=_QUIET_SECONDS))
            if message is None:
                if asked:
                    raise StoreUnavailable("Redis", reason="the subscription does not answer")
                await cancellable(pubsub.ping())
                asked = True
                continue
            asked = False
            if message["type"] not in ("message", "subscribe"):
                continue
            channel = cast("bytes", message["channel"]).decode()
            listener = self._listeners.get(channel)
            if listener is None:
                continue
            if message["type"] == "message":
                listener.said(message["data"])
            else:
                self._is_lost = False
                self._heard.add(channel)
                listener.confirmed()

    def _refuse_the_unheard(self, error: Exception) -> None:
        for channel, listener in tuple(self._listeners.items()):
            if channel not in self._heard:
                listener.refused(str(error))

    async def aclose(self) -> None:
        """Stop listening; whoever listens is told so. Idempotent."""
        self._closed = True
        serving, self._serving = self._serving, None
        ending = {*self._tasks} if serving is None else {serving, *self._tasks}
        while ending:
            # Again and again: a task group that ends with an error swallows a cancellation.
            for task in ending:
                task.cancel()
            _, ending = await asyncio.wait(ending, timeout=AGAIN_SECONDS)
        for listener in tuple(self._listeners.values()):
            listener.refused(CLOSED)
