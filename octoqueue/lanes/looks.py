"""`Looks`: when to look at all queues again, whatever their marks say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.primitives.clock import SystemClock

if TYPE_CHECKING:
    from octoqueue.primitives.clock import Clock

_EVERY_SECONDS = 5.0


class Looks:
    """Remembers when which queues were looked at."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._next: dict[tuple[str, ...], float] = {}

    def is_due(self, queues: tuple[str, ...]) -> bool:
        """Whether these were not looked at for a while."""
        due = self._next.get(queues)
        return due is None or self._clock.monotonic() >= due

    def done(self, queues: tuple[str, ...]) -> None:
        """They were looked at now."""
        self._next[queues] = self._clock.monotonic() + _EVERY_SECONDS
