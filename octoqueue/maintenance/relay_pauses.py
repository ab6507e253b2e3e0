"""`LinePauses`: lines of the outbox whose lane is full are left alone for growing times."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from octoqueue.primitives.clock import Clock

FIRST_SECONDS = 0.05
LONGEST_SECONDS = 1.0


class LinePauses:
    """Which lines rest, and for how long."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pauses: dict[str, tuple[float, float]] = {}
        """Line → when it may be tried again, and how long it rested."""

    def refused(self, line: str) -> None:
        """Rest a line, longer each time; refused again in the same batch it rests once."""
        now = self._clock.monotonic()
        until, seconds = self._pauses.get(line, (now, FIRST_SECONDS / 2))
        if until <= now:
            seconds = min(seconds * 2, LONGEST_SECONDS)
            self._pauses[line] = (now + seconds, seconds)

    def accepted(self, line: str) -> None:
        """Forget how long a line has rested: it moves."""
        self._pauses.pop(line, None)

    def paused(self) -> list[str]:
        """Return the lines that rest now."""
        now = self._clock.monotonic()
        return [line for line, (until, _) in self._pauses.items() if until > now]

    def soonest(self) -> float | None:
        """Return in how many seconds the first of them may be tried again; None when none rests."""
        now = self._clock.monotonic()
        waits = [until - now for until, _ in self._pauses.values() if until > now]
        return min(waits, default=None)
