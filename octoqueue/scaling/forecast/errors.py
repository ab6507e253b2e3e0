"""How far off forecasts of each horizon were: quantiles of their own errors.

An error is the logarithm of what came over what was expected, divided by how large such errors have
been of late: what is held back for the worst grows within minutes when forecasts fail, and shrinks
when they hold. The quantiles are those of a histogram that forgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from octoqueue.scaling.forecast.arrays import Floats

_LARGEST: Final = 12.0
_BINS: Final = 241
_STEP: Final = 2 * _LARGEST / (_BINS - 1)
CENTRES: Final = np.linspace(-_LARGEST, _LARGEST, _BINS)
_FORGETTING: Final = 0.5 ** (1 / (3 * 1440))
_PRIOR_MINUTES: Final = 30.0
_FAST: Final = 0.1
_SLOW: Final = 1 / 720


class Errors:
    """Errors of forecasts, a row for each horizon."""

    __slots__ = ("fast", "histogram", "scored", "slow")

    def __init__(self, horizons: int) -> None:
        normal = np.exp(-0.5 * CENTRES * CENTRES)
        self.histogram: Floats = np.tile(_PRIOR_MINUTES * normal / normal.sum(), (horizons, 1))
        self.fast: Floats = np.zeros(horizons)
        self.slow: Floats = np.zeros(horizons)
        """Mean squares of the errors of the last minutes and of half a day."""
        self.scored: Floats = np.zeros(horizons)

    def spreads(self) -> Floats:
        """Return how large errors are expected to be now."""
        return np.sqrt(0.5 * self.fast + 0.5 * self.slow)

    def learn(self, errors: Floats, spreads: Floats, known: Floats) -> None:
        """Take one error for each horizon for which `known` is 1; `spreads` were the expected."""
        place = np.clip(errors / np.maximum(spreads, 1e-9), -_LARGEST, _LARGEST)
        bins = np.rint((place + _LARGEST) / _STEP).astype(np.int64)
        counted = known * (spreads > 0)
        self.histogram *= _FORGETTING
        self.histogram[np.arange(len(bins)), bins] += counted
        square = errors * errors
        self.scored += known
        young = 1 / np.maximum(self.scored, 1)
        bounded = np.where(
            self.slow > 0, np.minimum(square, 50 * np.maximum(self.slow, self.fast)), square
        )
        self.fast += known * np.maximum(_FAST, young) * (bounded - self.fast)
        self.slow += known * np.maximum(_SLOW, young) * (bounded - self.slow)

    def quantiles(self, *shares: float) -> Floats:
        """Return the quantiles in units of `spreads`: a row for each share, of all horizons."""
        sums = np.cumsum(self.histogram, axis=1)
        wanted = np.outer(shares, sums[:, -1])
        above = np.argmax(sums >= wanted[:, :, None], axis=2)
        rows = np.arange(len(sums))
        upper = sums[rows, above]
        inside = self.histogram[rows, above]
        share = np.where(inside > 0, 1 - (upper - wanted) / np.maximum(inside, 1e-300), 0.5)
        quantiles: Floats = CENTRES[above] + (share - 0.5) * _STEP
        return quantiles
