"""`Crew`: the workers of a simulated fleet as counts: who is ready, who starts, what was paid."""

from __future__ import annotations

from array import array
from bisect import insort
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from octoqueue.scaling.simulator.fleets import FleetModel
    from octoqueue.scaling.simulator.traces import Floats

_DRAWN_AT_ONCE = 256
_REMEMBERED_STARTS = 10


class SizeLog:
    """The sizes that a fleet had, and when."""

    def __init__(self) -> None:
        """Begin empty."""
        self._at = array("d")
        self._sizes = array("q")

    def add(self, at_seconds: float, size: int) -> None:
        """Add the size from a moment on."""
        if self._at and self._at[-1] == at_seconds:
            self._sizes[-1] = size
            return
        self._at.append(at_seconds)
        self._sizes.append(size)

    def at_seconds(self) -> Floats:
        """Return the moments."""
        return np.array(self._at)

    def sizes(self) -> Floats:
        """Return the sizes."""
        return np.array(self._sizes, dtype=np.float64)


class StartUps:
    """How long workers take to start: drawn for each, and what was measured of it."""

    def __init__(self, model: FleetModel, generator: np.random.Generator) -> None:
        """Begin without a measurement."""
        self._model = model
        self._generator = generator
        self._drawn: list[float] = []
        self._measured: list[float] = []

    def draw(self) -> float:
        """Return how long the next worker takes to start."""
        if self._model.start_up.squared_variation == 0:
            return self._model.start_up.mean_seconds
        if not self._drawn:
            self._drawn = self._model.start_up.draw(_DRAWN_AT_ONCE, self._generator).tolist()
        return self._drawn.pop()

    def measured(self, seconds: float) -> None:
        """Note that a worker took so long."""
        self._measured = [*self._measured[1 - _REMEMBERED_STARTS :], seconds]

    @property
    def lead_seconds(self) -> float | None:
        """Mean of the last few; None before the first."""
        return sum(self._measured) / len(self._measured) if self._measured else None


class Crew:
    """Workers that cannot be told apart; whoever leaves leaves at once."""

    def __init__(self, model: FleetModel, *, size: int, generator: np.random.Generator) -> None:
        """Begin with `size` ready workers."""
        self.ready = size
        self.starting: list[tuple[float, float]] = []
        """When each will be ready, and how long that takes; in order."""
        self.log = SizeLog()
        self.start_ups = StartUps(model, generator)
        self.log.add(0.0, size)

    @property
    def size(self) -> int:
        """Those that are paid."""
        return self.ready + len(self.starting)

    def resize(self, size: int, *, now_seconds: float) -> None:
        """Ask for more, or let go: first those that would be ready last, as Kubernetes does."""
        before = self.size
        for _ in range(before, size):
            self._start(now_seconds)
        for _ in range(size, before):
            if self.starting:
                self.starting.pop()
            else:
                self.ready -= 1
        if size != before:
            self.log.add(now_seconds, size)

    def lose_one(self, *, now_seconds: float) -> None:
        """Let a ready worker die; another one is started in its place."""
        self.ready -= 1
        self._start(now_seconds)

    def greet(self, *, now_seconds: float) -> bool:
        """Count those as ready that are by now; returns whether there were any."""
        starting = self.starting
        count = 0
        while count < len(starting) and starting[count][0] <= now_seconds:
            self.start_ups.measured(starting[count][1])
            count += 1
        if count:
            del starting[:count]
            self.ready += count
        return count > 0

    def _start(self, now_seconds: float) -> None:
        seconds = self.start_ups.draw()
        if seconds <= 0:
            self.ready += 1
            self.start_ups.measured(0.0)
        else:
            insort(self.starting, (now_seconds + seconds, seconds))
