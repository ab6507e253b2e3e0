"""`Hands`: workers one by one: who is idle, who drains, who died, and who is paid."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from typing import TYPE_CHECKING

from octoqueue.scaling.simulator.crew import SizeLog, StartUps

if TYPE_CHECKING:
    import numpy as np

    from octoqueue.scaling.simulator.fleets import FleetModel


class Hands:
    """The workers of a simulated fleet, by number."""

    def __init__(self, model: FleetModel, *, size: int, generator: np.random.Generator) -> None:
        """Begin with `size` ready and idle workers."""
        self.slots = model.slots
        self.running: dict[int, int] = {}
        """Messages that each ready worker runs, the oldest worker first."""
        self.draining: dict[int, int] = {}
        """The same of those that claim nothing more."""
        self.idle: deque[int] = deque()
        """A worker for each free slot, the longest free first."""
        self.ready_since: dict[int, float] = {}
        """Of each ready worker, in the same order."""
        self.starting: list[float] = []
        """When each will be ready, in order."""
        self._start_ups = StartUps(model, generator)
        self.sizes, self.paid = SizeLog(), SizeLog()
        """What was asked for, and with those that drain."""
        self._next = 0
        for _ in range(size):
            self._join(0.0)
        self._log(0.0)

    @property
    def size(self) -> int:
        """Ready and starting workers."""
        return len(self.running) + len(self.starting)

    def resize(self, size: int, *, now_seconds: float) -> None:
        """Ask for more, or let go: those that start first, then the idlest, then the youngest."""
        for _ in range(self.size, size):
            self._start(now_seconds)
        surplus = self.size - size
        while surplus > 0 and self.starting:
            self.starting.pop()
            surplus -= 1
        if surplus > 0:
            by_idleness = sorted(self.running.items(), key=lambda each: (each[1], -each[0]))
            for worker, _ in by_idleness[:surplus]:
                self._dismiss(worker)
        self._log(now_seconds)

    def greet(self, *, now_seconds: float) -> bool:
        """Make those ready that are by now; returns whether there were any."""
        count = bisect_right(self.starting, now_seconds)
        for moment in self.starting[:count]:
            self._join(moment)
        del self.starting[:count]
        return count > 0

    def finished(self, worker: int, *, now_seconds: float) -> None:
        """Note that a draining worker has one message less to run; the last one lets it go."""
        left = self.draining[worker] - 1
        if left:
            self.draining[worker] = left
            return
        del self.draining[worker]
        self._log(now_seconds)

    def lose(self, worker: int, *, now_seconds: float) -> None:
        """Let a ready worker die; another one is started in its place."""
        del self.running[worker], self.ready_since[worker]
        self._without(worker)
        self._start(now_seconds)
        self._log(now_seconds)

    def _start(self, now_seconds: float) -> None:
        seconds = self._start_ups.draw()
        if seconds <= 0:
            self._join(now_seconds)
        else:
            insort(self.starting, now_seconds + seconds)

    def _join(self, now_seconds: float) -> None:
        worker, self._next = self._next, self._next + 1
        self.running[worker] = 0
        self.ready_since[worker] = now_seconds
        self.idle.extend([worker] * self.slots)

    def _dismiss(self, worker: int) -> None:
        running = self.running.pop(worker)
        del self.ready_since[worker]
        self._without(worker)
        if running:
            self.draining[worker] = running

    def _without(self, worker: int) -> None:
        self.idle = deque(other for other in self.idle if other != worker)

    def _log(self, now_seconds: float) -> None:
        size = self.size
        self.sizes.add(now_seconds, size)
        self.paid.add(now_seconds, size + len(self.draining))
