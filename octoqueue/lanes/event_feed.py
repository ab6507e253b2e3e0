"""`EventFeed`: one follower of the events of one message, without gaps, doubles or polling.

What is published reaches a feed at once. When it cannot be sure to have heard everything - at its
beginning, after an outage, or because its reader was slow and it has put down its pen at `_BOUND`
events - it is *behind*, and reads on from where it was in the stream. So a slow reader costs a
bounded amount of memory and loses nothing as long as the stream keeps it; what the stream has
dropped meanwhile is told as a gap.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from octoqueue.errors import StoreUnavailable
from octoqueue.primitives.events import (
    Event,
    Kept,
    Position,
    event_from,
    gap_before,
    kept_from,
    missed_between,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_BOUND = 1_000
"""Events that wait for a slow reader."""
_AT_ONCE = 250
"""Events in one read."""


class EventFeed:
    """Follows one stream from a place in it."""

    def __init__(
        self,
        read: Callable[[Position | None, int], Awaitable[list[Kept]]],
        *,
        since: Position | None,
    ) -> None:
        """Follow after `since`; `read` returns what stands after a place, a number at most."""
        self._read = read
        self._seen = since
        self._waiting: deque[Event] = deque()
        self._is_heard = False
        self._is_behind = True
        self._has_more = False
        """Something was published while it was behind."""
        self._refusal: str | None = None
        self._alarm: asyncio.Future[None] | None = None

    async def next_event(self) -> Event:
        """Return the next event.

        Raises:
            StoreUnavailable: the events cannot be followed (any more).
        """
        while not self._waiting:
            if self._refusal is not None:
                raise StoreUnavailable("Redis", reason=self._refusal)
            if self._is_heard and self._is_behind:
                await self._catch_up()
            else:
                self._alarm = asyncio.get_running_loop().create_future()
                await self._alarm
        return self._waiting.popleft()

    async def _catch_up(self) -> None:
        self._has_more = False
        found = await self._read(self._seen, _AT_ONCE)
        for kept in found:
            event = event_from(kept)
            missed = missed_between(self._seen, kept.position)
            if missed != 0:
                self._waiting.append(gap_before(event, missed))
            self._take(kept.position, event)
        if len(found) < _AT_ONCE and not self._has_more:
            self._is_behind = False

    def _take(self, position: Position, event: Event) -> None:
        self._seen = position
        self._waiting.append(event)

    # ── told by the channel ──────────────────────────────────────────────────────────────────────

    def confirmed(self) -> None:
        """What is published from now on will be heard; what was before must be read."""
        self._is_heard = self._is_behind = self._has_more = True
        self._wake()

    def said(self, news: Sequence[tuple[Position, Event]]) -> None:
        """Take what was published, in its order."""
        if self._is_behind:
            self._has_more = True
            return
        for position, event in news:
            if self._seen is not None and position <= self._seen:
                continue
            if not self._is_next(position) or len(self._waiting) >= _BOUND:
                self._is_behind = True
                break
            self._take(position, event)
        self._wake()

    def _is_next(self, position: Position) -> bool:
        seen = self._seen
        if seen is None or seen.life != position.life:
            return position.number == 1
        return position.number == seen.number + 1

    def refused(self, reason: str) -> None:
        """End it: nothing more will be heard."""
        self._refusal = reason
        self._wake()

    def _wake(self) -> None:
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)


class EventChannel:
    """All the feeds of one message in this process; decodes what is published once for them."""

    def __init__(self) -> None:
        self.feeds: set[EventFeed] = set()

    def confirmed(self) -> None:
        """Tell the feeds that they are listened for."""
        for feed in self.feeds:
            feed.confirmed()

    def said(self, data: bytes) -> None:
        """Pass on what was published."""
        news = [(kept.position, event_from(kept)) for kept in kept_from(data)]
        for feed in self.feeds:
            feed.said(news)

    def refused(self, reason: str) -> None:
        """Tell the feeds that there is nothing to listen to."""
        for feed in self.feeds:
            feed.refused(reason)
