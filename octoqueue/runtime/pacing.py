"""`Pace`: how much may be claimed, so that little of it waits in the worker. Pure.

What is claimed can no longer be overtaken: a high message that arrives now stands behind every
leased one that has not begun. Slots are no measure of that. A hundred messages that wait for a
model begin within a millisecond; a hundred that compute for a millisecond each keep the last one
waiting for a tenth of a second. So the bound is a time, and what a message costs is learned from
those before it.

- Async actors wait for the loop: the measure is the time from the beginning of one to the next.
- Sync actors share the interpreter lock: when the process computes all the time, more of them at
  once only stand in each other's way, and the measure is the CPU time of one.

Weakness: the first claim after a change is as large as before, as nothing is known yet.
"""

from __future__ import annotations

HELD_SECONDS = 0.0025
"""Work in one claim. Two may be under way: 5 ms of work are held ahead at most."""
_WEIGHT = 0.3
"""Of the newest measurement."""
_IS_COMPUTING = 0.85
"""Share of a core from which on a process is taken to do nothing but compute."""
_WINDOW_SECONDS = 0.02
"""Over which that share is measured."""


class Pace:
    """Learns what messages cost."""

    def __init__(self, *, held_seconds: float = HELD_SECONDS) -> None:
        self._held_seconds = held_seconds
        self._begin_seconds = 0.0
        self._thread_seconds = 0.0
        self._share = 0.0
        self._read: tuple[float, float] | None = None

    def began(self, count: int, *, seconds: float) -> None:
        """Learn that `count` messages were begun within `seconds` of the loop."""
        if count:
            self._begin_seconds = _moved(self._begin_seconds, seconds / count)

    def computed(self, seconds: float) -> None:
        """Learn the CPU time of a message that ran in a thread."""
        self._thread_seconds = _moved(self._thread_seconds, seconds)

    def is_due(self, at: float) -> bool:
        """Whether `read` has been called too long ago to know how busy the process is."""
        return self._read is None or at - self._read[0] >= _WINDOW_SECONDS

    def read(self, *, at: float, cpu: float) -> None:
        """Learn the CPU time of the process, both in seconds since any moment."""
        if self._read is not None and at > self._read[0]:
            self._share = (cpu - self._read[1]) / (at - self._read[0])
        self._read = at, cpu

    @property
    def is_computing(self) -> bool:
        """Whether the process has no time to spare."""
        return self._share >= _IS_COMPUTING

    def room(self, *, free: int, in_threads: int) -> int:
        """Return how many messages may be claimed now.

        Args:
            free: slots without a message.
            in_threads: messages that run in threads, or wait for one.
        """
        most = free
        if self._begin_seconds:
            most = min(most, max(int(self._held_seconds / self._begin_seconds), 1))
        if self._thread_seconds and self.is_computing:
            together = max(int(self._held_seconds / self._thread_seconds), 1)
            most = min(most, together - in_threads)
        return max(most, 0)


def _moved(known: float, seen: float) -> float:
    return seen if not known else known + _WEIGHT * (seen - known)
