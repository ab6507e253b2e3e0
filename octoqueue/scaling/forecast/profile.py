"""The shape of a week or of a day: what usually follows what.

A profile keeps the logarithm of what arrives in each slot of its cycle, up to a constant: only the
differences between its slots are used, and what a whole day has more or less is no part of it. It
learns with a delay, so that the slots to come and the one at hand are of the same age. What is far
off all that is usual moves it by no more than a bound: one holiday does not make the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from octoqueue.scaling.forecast.arrays import Flags, Floats, Integers

SLOT_MINUTES: Final = 10
_OUTLYING: Final = 3.0
_LEAST_WEIGHT: Final = 0.3
"""Of the newest week, as long as there were more than three."""
_LEVEL_WEIGHT: Final = 0.15
"""A day that has more or less than usual is followed within an hour or two."""
_SPREAD_WEIGHT: Final = 1 / 144


class Profile:
    """Logarithms by slot of a cycle."""

    __slots__ = ("_count", "_slot", "_sum", "deviation", "logs", "period", "spread", "visits")

    def __init__(self, *, period_minutes: int) -> None:
        self.period = period_minutes
        slots = period_minutes // SLOT_MINUTES
        self.logs: Floats = np.zeros(slots)
        self.visits: Floats = np.zeros(slots)
        self.deviation = 0.0
        """How much more arrives than the profile says, as a logarithm."""
        self.spread = 0.0
        """Mean absolute logarithm of a slot over what was expected of it."""
        self._slot = -1
        self._sum = 0.0
        self._count = 0

    def learn(self, minute: int, log_arrivals: float) -> None:
        """Take the minute `minute` of local time; a slot is learnt when a later one begins."""
        slot = minute % self.period // SLOT_MINUTES
        if slot != self._slot:
            self._learn_slot()
            self._slot, self._sum, self._count = slot, 0.0, 0
        self._sum += log_arrivals
        self._count += 1

    def _learn_slot(self) -> None:
        if self._count == 0:
            return
        slot, mean = self._slot, self._sum / self._count
        if self.visits[slot] == 0:
            self.logs[slot] = mean - self.deviation
            self.visits[slot] = 1
            return
        off = mean - float(self.logs[slot])
        odd = off - self.deviation
        self.deviation += _LEVEL_WEIGHT * odd
        weight = max(_LEAST_WEIGHT, 1 / (float(self.visits[slot]) + 1))
        if self.spread == 0:
            self.spread = abs(odd)
        bound = _OUTLYING * self.spread
        bounded = min(bound, max(-bound, odd))
        self.spread += _SPREAD_WEIGHT * (abs(bounded) - self.spread)
        self.logs[slot] += weight * bounded
        self.visits[slot] += 1

    def at(self, minutes: Integers) -> tuple[Floats, Flags]:
        """Return the logarithms at minutes of local time, and which of them are known."""
        place = (minutes % self.period) / SLOT_MINUTES - 0.5
        left = np.floor(place).astype(np.int64)
        share = place - left
        right = (left + 1) % len(self.logs)
        logs = self.logs[left] * (1 - share) + self.logs[right] * share
        return logs, (self.visits[left] > 0) & (self.visits[right] > 0)
