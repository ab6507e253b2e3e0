"""`Deadlines`: time limits of any number of attempts, without a timer for each.

Attempts with the same limit end in the order they began, so one ordered dict and one timer a
distinct limit are enough: adding and removing cost a dict operation, and an idle worker has no
timer at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

T = TypeVar("T")

_ASK_AGAIN_SECONDS = 1.0
"""How often an attempt that does not end is told again."""


class Deadlines(Generic[T]):
    """Tells which of the running attempts have run too long."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_expired: Callable[[T], None]) -> None:
        self._loop = loop
        self._on_expired = on_expired
        self._running: dict[float, dict[T, float]] = {}
        self._armed: dict[float, asyncio.TimerHandle] = {}

    def add(self, attempt: T, limit_seconds: float) -> None:
        """Expect `attempt` to end within `limit_seconds`."""
        running = self._running.get(limit_seconds)
        if running is None:
            running = self._running[limit_seconds] = {}
        running[attempt] = deadline = self._loop.time() + limit_seconds
        if limit_seconds not in self._armed:
            self._arm(limit_seconds, deadline)

    def remove(self, attempt: T, limit_seconds: float) -> None:
        """Forget `attempt`: it has ended."""
        self._running[limit_seconds].pop(attempt, None)

    def _arm(self, limit_seconds: float, when: float) -> None:
        self._armed[limit_seconds] = self._loop.call_at(when, self._look, limit_seconds)

    def _look(self, limit_seconds: float) -> None:
        del self._armed[limit_seconds]
        running, now = self._running[limit_seconds], self._loop.time()
        for attempt, deadline in list(running.items()):
            if deadline > now:
                break
            del running[attempt]
            running[attempt] = now + _ASK_AGAIN_SECONDS  # to the end: it will be asked again
            self._on_expired(attempt)
        if running:
            self._arm(limit_seconds, min(*running.values(), now + limit_seconds))

    def clear(self) -> None:
        """Stop all timers."""
        for handle in self._armed.values():
            handle.cancel()
        self._armed.clear()
        self._running.clear()
