"""How much each sign of what is to come counts, learnt for every horizon by itself.

Ridge regression with forgetting: `theta = (A + r I)^-1 (b + r theta0)`, where `A` and `b` are sums
over the past. `r` is as if so many minutes had said `theta0`: with little to learn from, those
stay, and something of them always stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from octoqueue.scaling.forecast.arrays import Floats, Integers

PRIOR: Final = np.array([0.1, 0.0, 0.0, 0.4, 0.4, 0.0])
"""Newest minute over the fast mean, fast over middle, middle over slow, the slopes of week and day,
and the distance from the profile."""
_LEAST: Final = np.array([-1.0, -1.5, -1.0, 0.0, 0.0, -0.5])
_MOST: Final = np.array([1.5, 1.5, 1.5, 1.5, 1.5, 0.2])
_RIDGE: Final = 20.0
_SOLVE_EVERY_MINUTES: Final = 10
_CLIP: Final = 3.0


class Regression:
    """Weights of signs, a row for each horizon."""

    __slots__ = ("_forgetting", "_until_solved", "moments", "products", "theta", "variance")

    def __init__(self, horizons_minutes: Integers) -> None:
        """Know nothing yet; half is forgotten in seven hours for the next minute, later in 33."""
        signs, horizons = len(PRIOR), len(horizons_minutes)
        half_life = np.minimum(400 + 50 * horizons_minutes, 2000)
        self._forgetting: Floats = 0.5 ** (1 / half_life)
        self.products: Floats = np.zeros((horizons, signs, signs))
        self.moments: Floats = np.zeros((horizons, signs))
        self.variance: Floats = np.zeros(horizons)
        """Of what was left unexplained."""
        self.theta: Floats = np.tile(PRIOR, (horizons, 1))
        self._until_solved = 0

    def learn(self, signs: Floats, targets: Floats, known: Floats) -> None:
        """Take one observation for each horizon for which `known` is 1, not 0.

        `signs` has a row for each horizon, `targets` is what came of them.
        """
        left = targets - np.einsum("hk,hk->h", signs, self.theta)
        square = left * left
        is_first = self.variance == 0
        bounded = np.where(is_first, square, np.minimum(square, 100 * self.variance))
        self.variance += known * np.where(is_first, 1.0, 1 / 1440) * (bounded - self.variance)
        spread = np.sqrt(self.variance) + 1e-9
        weight = known / np.maximum(1.0, np.abs(left) / (_CLIP * spread)) / (spread * spread + 1e-6)
        weighted = signs * weight[:, None]
        self.products *= self._forgetting[:, None, None]
        self.moments *= self._forgetting[:, None]
        self.products += weighted[:, :, None] * signs[:, None, :]
        self.moments += weighted * targets[:, None]
        self._until_solved -= 1
        if self._until_solved <= 0:
            self._until_solved = _SOLVE_EVERY_MINUTES
            self._solve()

    def _solve(self) -> None:
        ridge = _RIDGE * np.eye(len(PRIOR))
        right = self.moments + _RIDGE * PRIOR
        solved = np.linalg.solve(self.products + ridge, right[:, :, None])[:, :, 0]
        self.theta[:] = np.clip(solved, _LEAST, _MOST)
