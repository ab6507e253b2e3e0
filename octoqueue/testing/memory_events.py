"""The events of the memory store, and who follows them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from octoqueue.primitives.events import (
    Event,
    EventKind,
    Keeping,
    Kept,
    Position,
    Told,
    event_from,
    gap_before,
    missed_between,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.ids import MessageId


@dataclass(slots=True)
class _Stream:
    life: int
    number: int = 0
    kept: list[Kept] = field(default_factory=list[Kept])
    expires_at_ms: int = 0
    sender: str = ""
    stored: int = 0
    """The sender's own number of the last event."""


class MemoryEvents:
    """Streams by message, each until its time is over."""

    def __init__(self, clock: Clock, keeping: Keeping) -> None:
        self._clock = clock
        self._keeping = keeping
        self._streams: dict[MessageId, _Stream] = {}
        self._news = asyncio.Event()

    def append(self, message_id: MessageId, told: Told) -> None:
        """Append what its sender has not appended before, and wake who follows."""
        now = self._clock.now_ms()
        stream = self._stream(message_id) or _Stream(now)
        stored = stream.stored if stream.sender == told.sender else 0
        fresh = told.events[max(stored + 1 - told.first, 0) :]
        if not fresh:
            return
        self._streams[message_id] = stream
        for body in fresh:
            stream.number += 1
            stream.kept.append(Kept(Position(stream.life, stream.number), body))
        del stream.kept[: -self._keeping.bound]
        stream.sender, stream.stored = told.sender, told.first + len(told.events) - 1
        stream.expires_at_ms = now + self._keeping.ttl_ms
        news, self._news = self._news, asyncio.Event()
        news.set()

    def drop(self, message_id: MessageId) -> None:
        """Forget what a message told, so that who asks hears of the next run."""
        self._streams.pop(message_id, None)

    def _stream(self, message_id: MessageId) -> _Stream | None:
        stream = self._streams.get(message_id)
        if stream is None or stream.expires_at_ms <= self._clock.now_ms():
            return None
        return stream

    async def follow(self, message_id: MessageId, since: Position | None) -> AsyncGenerator[Event]:
        """Give what is kept, then what comes, until the message has ended."""
        seen = since
        while True:
            news = self._news
            for kept in self._after(message_id, seen):
                event, missed = event_from(kept), missed_between(seen, kept.position)
                if missed != 0:
                    yield gap_before(event, missed)
                seen = kept.position
                yield event
                if event.kind is EventKind.ENDED:
                    return
            await news.wait()

    def _after(self, message_id: MessageId, seen: Position | None) -> list[Kept]:
        stream = self._stream(message_id)
        if stream is None:
            return []
        return [kept for kept in stream.kept if seen is None or kept.position > seen]
