"""`Promoter`: delayed messages that are due become ready.

It sleeps until the next one is due, and no longer than it may trust what it knows: ten seconds when
nothing happens, one second while the worker beside it has work. A message that becomes the next one
due rings its queue's doorbell; the worker that hears it and finds nothing to claim nudges its
promoter, which then learns of the earlier moment. A worker with something to claim stirs it.

A promoter that learns of a moment which others who idle may not know rings the bell again: its
worker stands last in the queue of those who listen, so another one hears it, and so on until all
of them know. Whoever dies before the message is due, somebody else promotes it in time.

Weakness: the news of one early message costs a few small calls in each idle process, and when it is
due each of them looks. The process that heard the bell may be killed before it has told anybody, or
in the last fraction of a second, when nobody is told: then the others look up to ten seconds late.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.primitives.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.protocol import LaneStore

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=10)
STIRRED_LOOK = timedelta(seconds=1)
_LEAST_SECONDS = 0.001
_WORTH_TELLING_SECONDS = 0.2
"""How far ahead a moment must be to tell others of it."""
_NEWS_SECONDS = 0.1
"""How much earlier than the one known before a moment must be to be news."""


class Promoter:
    """Promotes the delayed messages of some queues."""

    def __init__(
        self, store: LaneStore, queues: Sequence[str], *, look_every: timedelta = LOOK_EVERY
    ) -> None:
        self._store = store
        self._queues = tuple(queues)
        self._look_every_seconds = look_every.total_seconds()
        self._stirred_seconds = min(look_every, STIRRED_LOOK).total_seconds()
        self._clock = SystemClock()
        self._looks_at = 0.0
        self._known: dict[str, float] = {}
        """When the next message of each queue is due, as far as it is known."""
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._promote())

    def nudge(self) -> None:
        """Look now: something may be due earlier than thought."""
        self._looks_at = 0.0
        self._woken.set()

    def stir(self) -> None:
        """Look within a second: something happens, so there may be news. Costs next to nothing."""
        soon = self._clock.monotonic() + self._stirred_seconds
        if self._looks_at > soon:
            self._looks_at = soon
            self._woken.set()

    async def _promote(self) -> None:
        while True:
            self._looks_at = self._clock.monotonic() + self._look_every_seconds
            try:
                for queue in self._queues:
                    promotion = await self._store.promote(queue)
                    if promotion.moved:
                        log.debug(
                            "messages_promoted", extra={"queue": queue, "messages": promotion.moved}
                        )
                    await self._learn(queue, promotion.next_due)
            except StoreError as error:
                self.stir()
                log.debug("promote_failed", extra={"reason": str(error)})
            except Exception:
                self.stir()
                log.exception("promote_failed")
            await self._sleep()

    async def _learn(self, queue: str, next_due: timedelta | None) -> None:
        """Look when the next message of a queue is due, and see that others do."""
        if next_due is None:
            self._known.pop(queue, None)
            return
        wait_seconds = max(next_due.total_seconds(), _LEAST_SECONDS)
        due_at = self._clock.monotonic() + wait_seconds
        self._looks_at = min(self._looks_at, due_at)
        is_news = due_at < self._known.get(queue, math.inf) - _NEWS_SECONDS
        if is_news and _WORTH_TELLING_SECONDS < wait_seconds < self._look_every_seconds:
            await self._store.ring([queue])
        self._known[queue] = due_at

    async def _sleep(self) -> None:
        """Sleep until the next look, which may be called forward meanwhile."""
        while (left_seconds := self._looks_at - self._clock.monotonic()) > 0:
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_seconds):
                    await self._woken.wait()

    async def stop(self) -> None:
        """End. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
