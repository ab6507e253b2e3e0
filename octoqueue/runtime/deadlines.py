"""`Deadlines`: time limits of any number of attempts, without a timer for each.

Attempts with the same limit end in the order they began, so one ordered dict and one timer a
distinct limit are enough: adding and removing cost a dict operation, and an idle worker soon has no
timer at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

T = TypeVar("T")

_MOST_IDLE = 100
"""Limits that nobody runs under: messages may bring any number of their own."""

ASK_AGAIN_SECONDS = 1.0
"""How often an attempt that does not end is told again: from then on, this is its limit."""


class Deadlines(Generic[T]):
    """Tells which of the running attempts have run too long."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_expired: Callable[[T], None]) -> None:
        self._loop = loop
        self._on_expired = on_expired
        self._running: dict[float, dict[T, float]] = {}
        self._armed: dict[float, asyncio.TimerHandle] = {}

    @property
    def watched(self) -> int:
        """How many attempts have a deadline."""
        return sum(len(running) for running in self._running.values())

    def add(self, attempt: T, limit_seconds: float, *, spent_seconds: float = 0.0) -> None:
        """Expect `attempt` to end within `limit_seconds`, of which some may be spent already."""
        running = self._running.get(limit_seconds)
        if running is None:
            running = self._running[limit_seconds] = {}
        running[attempt] = deadline = self._loop.time() + limit_seconds - spent_seconds
        if limit_seconds not in self._armed:
            self._arm(limit_seconds, deadline)

    def remove(self, attempt: T, limit_seconds: float) -> None:
        """Forget `attempt`: it has ended."""
        running = self._running.get(limit_seconds)
        if running is None or running.pop(attempt, None) is None:
            told = self._running.get(ASK_AGAIN_SECONDS)
            if told is not None:
                told.pop(attempt, None)
        elif not running and len(self._running) > _MOST_IDLE:
            del self._running[limit_seconds]
            self._armed.pop(limit_seconds).cancel()

    def _arm(self, limit_seconds: float, when: float) -> None:
        self._armed[limit_seconds] = self._loop.call_at(when, self._look, limit_seconds)

    def _look(self, limit_seconds: float) -> None:
        del self._armed[limit_seconds]
        running, now = self._running[limit_seconds], self._loop.time()
        expired: list[T] = []
        for attempt, deadline in running.items():
            if deadline > now:
                break
            expired.append(attempt)
        for attempt in expired:
            del running[attempt]
            self.add(attempt, ASK_AGAIN_SECONDS)
            self._on_expired(attempt)
        armed = self._armed.pop(limit_seconds, None)
        if armed is not None:
            armed.cancel()  # by `add`, for those that are asked again; others may come first
        if running:
            self._arm(limit_seconds, next(iter(running.values())))
        else:
            self._running.pop(limit_seconds, None)

    def clear(self) -> None:
        """Stop all timers."""
        for handle in self._armed.values():
            handle.cancel()
        self._armed.clear()
        self._running.clear()
