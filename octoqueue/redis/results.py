"""`ResultHub`: any number of callers waiting for results, on one connection.

Each waited-for message has a channel; the script that commits the result publishes it there. Every
time Redis confirms a subscription the result's key is read, so one that was kept before, or while
the connection was down, is found, and no publish can be missed for good.

One task owns the connection. Callers only say what they wish for, so a caller that is cancelled in
any instant leaves the others as they are.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from octoqueue.errors import StoreError, StoreUnavailable
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.redis.client import cancellable

if TYPE_CHECKING:
    from octoqueue.redis.client import RedisClient

log = logging.getLogger(__name__)

_CLOSED = "the connection was closed"
_AGAIN_SECONDS = 0.5
_QUIET_SECONDS = 15.0
"""After so long without a word the connection is asked whether it lives."""
_LOOKUPS_AT_ONCE = 8
"""So that a thousand waiters that come back after an outage leave room for commands."""


@dataclass(slots=True)
class _Wish:
    """A result somebody waits for."""

    key: str
    futures: set[asyncio.Future[bytes]] = field(default_factory=set[asyncio.Future[bytes]])
    heard: bool = False
    """Its subscription has been confirmed at least once."""


class ResultHub:
    """Waits for results by channel name."""

    def __init__(self, client: RedisClient, *, clock: Clock | None = None) -> None:
        """Wait on `client`; nothing connects before the first wait."""
        self._client = client
        self._clock = clock or SystemClock()
        self._wishes: dict[str, _Wish] = {}
        self._changed: set[str] = set()
        """Channels somebody began or ceased to wait for."""
        self._change = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._closed = False
        self._lookups: set[asyncio.Task[None]] = set()
        self._looking = asyncio.Semaphore(_LOOKUPS_AT_ONCE)

    async def wait(self, *, channel: str, key: str) -> bytes:
        """Return the result published on `channel` or standing at `key`.

        Raises:
            StoreUnavailable: Redis cannot be reached, or this hub was closed. A wait that had begun
                outlives an outage.
        """
        if self._closed:
            raise StoreUnavailable("Redis", reason=_CLOSED)
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve())
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        wish = self._wishes.get(channel)
        if wish is None:
            wish = self._wishes[channel] = _Wish(key)
            self._note(channel)
        elif wish.heard:
            self._look_up(channel)  # it may have been published before this caller came
        wish.futures.add(future)
        try:
            return await future
        finally:
            wish.futures.discard(future)
            if not wish.futures and self._wishes.get(channel) is wish:
                del self._wishes[channel]
                self._note(channel)

    def _note(self, channel: str) -> None:
        self._changed.add(channel)
        self._change.set()

    # ── the connection ───────────────────────────────────────────────────────────────────────────

    async def _serve(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 - whatever ended it, nobody may wait for ever
                log.warning("result_subscription_lost", extra={"reason": str(error)})
                self._refuse_the_unheard(error)
            await self._clock.sleep(_AGAIN_SECONDS)

    async def _listen(self) -> None:
        """Serve one connection until it breaks."""
        async with self._client.subscription() as pubsub:
            self._changed = set(self._wishes)
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
            wanted = [channel for channel in changed if channel in self._wishes]
            unwanted = [channel for channel in changed if channel not in self._wishes]
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
            wish = self._wishes.get(channel)
            if wish is None:
                continue
            if message["type"] == "message":
                _resolve(wish, message["data"])
            else:
                wish.heard = True
                self._look_up(channel)

    def _refuse_the_unheard(self, error: Exception) -> None:
        for wish in self._wishes.values():
            if not wish.heard:
                _refuse(wish, str(error))

    # ── reading the key ──────────────────────────────────────────────────────────────────────────

    def _look_up(self, channel: str) -> None:
        task = asyncio.create_task(self._read_key(channel))
        self._lookups.add(task)
        task.add_done_callback(self._lookups.discard)

    async def _read_key(self, channel: str) -> None:
        async with self._looking:
            while wish := self._wishes.get(channel):
                try:
                    found = await self._client.command("GET", wish.key)
                except StoreError as error:
                    log.debug("result_look_up_failed", extra={"reason": str(error)})
                    await self._clock.sleep(_AGAIN_SECONDS)
                    continue
                if found is not None:
                    _resolve(wish, found)
                return

    async def aclose(self) -> None:
        """Stop listening; whoever waits is told so. Idempotent."""
        self._closed = True
        serving, self._serving = self._serving, None
        ending = {*self._lookups} if serving is None else {serving, *self._lookups}
        while ending:
            # Again and again: a task group that ends with an error swallows a cancellation.
            for task in ending:
                task.cancel()
            _, ending = await asyncio.wait(ending, timeout=_AGAIN_SECONDS)
        for wish in self._wishes.values():
            _refuse(wish, _CLOSED)


def _resolve(wish: _Wish, body: bytes) -> None:
    for future in wish.futures:
        if not future.done():
            future.set_result(body)


def _refuse(wish: _Wish, reason: str) -> None:
    for future in wish.futures:
        if not future.done():
            future.set_exception(StoreUnavailable("Redis", reason=reason))
