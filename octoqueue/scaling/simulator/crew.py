"""`Crew`: the workers of a simulated fleet as counts: who is ready, who starts, what was paid."""

from __future__ import annotations

from array import array
from bisect import bisect_right, insort
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from octoqueue.scaling.simulator.fleets import FleetModel
    from octoqueue.scaling.simulator.traces import Floats

_DRAWN_AT_ONCE = 256


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
    """How long workers take to start, drawn for each."""

    def __init__(self, model: FleetModel, generator: np.random.Generator) -> None:
        """Take the distribution from the model."""
        self._model = model
        self._generator = generator
        self._drawn: list[float] = []

    def draw(self) -> float:
        """Return how long the next worker takes to start."""
        if self._model.start_up.squared_variation == 0:
            return self._model.start_up.mean_seconds
        if not self._drawn:
            self._drawn = self._model.start_up.draw(_DRAWN_AT_ONCE, self._generator).tolist()
        return self._drawn.pop()


class Crew:
    """Workers that cannot be told apart; whoever leaves leaves at once."""

    def __init__(self, model: FleetModel, *, size: int, generator: np.random.Generator) -> None:
        """Begin with `size` ready workers."""
        self.ready_since = [0.0] * size
        """Of each ready worker, in order."""
        self.starting: list[float] = []
        """When each will be ready, in order."""
        self.log = SizeLog()
        self._start_ups = StartUps(model, generator)
        self.log.add(0.0, size)

    @property
    def ready(self) -> int:
        """Those that work."""
        return len(self.ready_since)

    @property
    def size(self) -> int:
        """Those that are paid."""
        return len(self.ready_since) + len(self.starting)

    def resize(self, size: int, *, now_seconds: float) -> None:
        """Ask for more, or let go: first those that would be ready last, as Kubernetes does."""
        before = self.size
        for _ in range(before, size):
            self._start(now_seconds)
        for _ in range(size, before):
            (self.starting or self.ready_since).pop()
        if size != before:
            self.log.add(now_seconds, size)

    def lose_one(self, *, now_seconds: float) -> None:
        """Let a ready worker die, the oldest; another one is started in its place."""
        del self.ready_since[0]
        self._start(now_seconds)

    def greet(self, *, now_seconds: float) -> bool:
        """Count those as ready that are by now; returns whether there were any."""
        count = bisect_right(self.starting, now_seconds)
        self.ready_since += self.starting[:count]
        del self.starting[:count]
        return count > 0

    def _start(self, now_seconds: float) -> None:
        seconds = self._start_ups.draw()
        if seconds <= 0:
            self.ready_since.append(now_seconds)
        else:
            insort(self.starting, now_seconds + seconds)
