"""Whether as much comes as was expected, on the whole.

Weights are learnt on logarithms, and the mean of logarithms is not the logarithm of the mean: of
few and uneven arrivals too little would be expected. The factor makes the sums of a week agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from octoqueue.scaling.forecast.arrays import Floats

_WEEK: Final = 7 * 1440
_PRIOR_MINUTES: Final = 120
_LARGEST: Final = 1.5


class Bias:
    """Means of what came and of what was expected, for each horizon."""

    __slots__ = ("came", "expected", "scored")

    def __init__(self, horizons: int) -> None:
        self.came: Floats = np.zeros(horizons)
        self.expected: Floats = np.zeros(horizons)
        self.scored: Floats = np.zeros(horizons)

    def learn(self, arrivals: float, expected: Floats, known: Floats) -> None:
        """Take what came, and what was expected before any correction."""
        weight = known * np.maximum(1 / _WEEK, 1 / (self.scored + 1))
        self.came += weight * (arrivals - self.came)
        self.expected += weight * (expected - self.expected)
        self.scored += known

    def factors(self) -> Floats:
        """Return by how much more comes than is expected."""
        # Bounded below, so that no quotient is larger than a number can be.
        least = np.maximum(self.expected, self.came / (2 * _LARGEST))
        ratio = np.where(least > 0, self.came / np.where(least > 0, least, 1.0), 1.0)
        trust = self.scored / (self.scored + _PRIOR_MINUTES)
        factors: Floats = np.clip(1 + trust * (ratio - 1), 1 / _LARGEST, _LARGEST)
        return factors
