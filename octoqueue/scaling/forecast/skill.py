"""Whether forecasts are worth anything: their error against those of two plain answers.

Absolute errors of the forecast, of "same as now" and of "same as last week" are summed over the
same minutes, and half is forgotten in a day. Skill is `1 - error / error of the plain answer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from octoqueue.scaling.forecast.arrays import Floats

_FORGETTING: Final = 0.5 ** (1 / 1440)
_ROUNDING: Final = 1e-6
"""Errors that are smaller, as a share of what came, are none."""


class Skill:
    """Errors, a row for each horizon."""

    __slots__ = ("beside_week", "now_error", "own_error", "own_error_beside_week", "week_error")

    def __init__(self, horizons: int) -> None:
        self.own_error: Floats = np.zeros(horizons)
        self.now_error: Floats = np.zeros(horizons)
        self.own_error_beside_week: Floats = np.zeros(horizons)
        """Of the minutes for which the same one of last week is known."""
        self.week_error: Floats = np.zeros(horizons)
        self.beside_week: Floats = np.zeros(horizons)
        """How many those are, half of them forgotten in a day."""

    def learn(
        self,
        arrivals: float,
        *,
        expected: Floats,
        now: Floats,
        last_week: float | None,
        known: Floats,
    ) -> None:
        """Take what came, and what was said about it for each horizon for which `known` is 1."""
        own = np.abs(expected - arrivals)
        own = np.where(own > _ROUNDING * arrivals, own, 0.0) * known
        forget = 1 - (1 - _FORGETTING) * known
        self.own_error *= forget
        self.own_error += own
        self.now_error *= forget
        self.now_error += np.abs(now - arrivals) * known
        self.beside_week *= forget
        if last_week is not None:
            self.own_error_beside_week *= forget
            self.own_error_beside_week += own
            self.week_error *= forget
            self.week_error += abs(last_week - arrivals) * known
            self.beside_week += known

    def against_now(self, node: int) -> float:
        """Return the skill against "same as now"; 0 when neither ever erred."""
        return _skill(self.own_error[node], self.now_error[node])

    def against_last_week(self, node: int) -> float:
        """Return the skill against "same as last week"; 0 as long as there is none to compare."""
        return _skill(self.own_error_beside_week[node], self.week_error[node])


def _skill(own: float, plain: float) -> float:
    """Return the skill, not below -1: how much worse than useless does not matter."""
    if own >= 2 * plain:
        return -1.0 if own > 0 else 0.0
    return float(1 - own / plain)
