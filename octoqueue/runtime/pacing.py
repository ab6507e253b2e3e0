"""`Pace`: how much may be claimed, so that little of it waits in the worker. Pure.

What is claimed can no longer be overtaken: a high message that arrives now stands behind every
leased one that has not begun. Slots are no measure of that. A hundred messages that wait for a
model begin within a millisecond; a hundred that compute for a millisecond each keep the last one
waiting for a tenth of a second. So the bound is a time, and what a message costs is learned from
those before it.

- Async actors wait for the loop: the measure is the time from the beginning of one to the next.
- Sync actors share the interpreter lock: those that compute only stand in each other's way, and the
  measure is the CPU time of one. They compute when that is most of the time they take, or when the
  process has no time to spare. One that is in its thread for long is not counted (see `Claimer`):
  it may hang, and must not keep others out.

Weakness: the first claim after a change is as large as before, as nothing is known yet.
"""

from __future__ import annotations

HELD_SECONDS = 0.005
"""Work that may be held ahead."""
_WEIGHT = 0.3
"""Of the newest measurement."""
_IS_COMPUTING = 0.85
"""Share of a core from which on a process is taken to do nothing but compute."""
_MOSTLY = 0.5
_WINDOW_SECONDS = 0.02
"""Over which that share is measured."""


class Pace:
    """Learns what messages cost."""

    def __init__(self, *, held_seconds: float = HELD_SECONDS) -> None:
        self._held_seconds = held_seconds
        self._begin_seconds = 0.0
        self._thread_seconds = 0.0
        self._thread_cpu_seconds = 0.0
        self._share = 0.0
        self._read: tuple[float, float] | None = None

    def began(self, count: int, *, seconds: float) -> None:
        """Learn that `count` messages were begun within `seconds` of the loop."""
        if count:
            self._begin_seconds = _moved(self._begin_seconds, seconds / count)

    def ran(self, *, seconds: float, cpu_seconds: float) -> None:
        """Learn how long a message ran in a thread, and how much of that it computed."""
        self._thread_seconds = _moved(self._thread_seconds, seconds)
        self._thread_cpu_seconds = _moved(self._thread_cpu_seconds, cpu_seconds)

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
        """Whether what runs in threads would gain nothing from more threads."""
        computes = self._thread_cpu_seconds > _MOSTLY * self._thread_seconds
        return computes or self._share >= _IS_COMPUTING

    def is_long(self, count: int) -> bool:
        """Whether to begin so many messages takes longer than what may be held ahead."""
        return count * self._begin_seconds > self._held_seconds

    def room(self, *, free: int, in_threads: int) -> int:
        """Return how many messages may be claimed now.

        Args:
            free: slots without a message.
            in_threads: messages that run in threads, or wait for one.
        """
        most = free
        if self._begin_seconds:
            most = min(most, max(int(self._held_seconds / self._begin_seconds), 1))
        if self._thread_cpu_seconds and self.is_computing:
            together = max(int(self._held_seconds / self._thread_cpu_seconds), 1)
            left = together - in_threads
            most = min(most, left if 2 * left >= together else 0)  # a claim for each costs too much
        return max(most, 0)


def _moved(known: float, seen: float) -> float:
    return seen if not known else known + _WEIGHT * (seen - known)
