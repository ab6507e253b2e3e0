"""From measured numbers to printed ones: medians, spreads, ratios, percentiles, arrivals. Pure.

A ratio is taken inside each round, where both sides saw the same machine, and only then summed up:
the median of ratios moves less than the ratio of medians when the machine is busy with other work.

Weakness: with five rounds the spread is the range of what was seen, not an interval of confidence.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import accumulate
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NOISE = 0.25
"""Differences below this are noise on a shared machine."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What the rounds of one figure gave."""

    median: float
    low: float
    high: float

    @property
    def is_noisy(self) -> bool:
        """Whether the range is wider than what may be called a result."""
        return self.high - self.low > NOISE * abs(self.median)


def spread_of(values: Sequence[float]) -> Spread:
    """Return median and range.

    Raises:
        ValueError: there are no values, or one is not a number.
    """
    if not values or any(math.isnan(value) for value in values):
        raise ValueError(f"cannot sum up {list(values)}")
    return Spread(median(values), min(values), max(values))


def paired_ratio(of: Sequence[float], to: Sequence[float]) -> Spread:
    """Return the ratios of values measured in the same round.

    Raises:
        ValueError: the two have not the same number of rounds, or none.
    """
    return spread_of([a / b for a, b in zip(of, to, strict=True)])


def percentile(values: Sequence[float], q: float) -> float:
    """Return the nearest-rank `q`-quantile: a value that was really measured.

    Raises:
        ValueError: there are no values, or `q` is not in (0, 1].
    """
    if not values or not 0 < q <= 1:
        raise ValueError(f"no {q}-quantile of {len(values)} values")
    return sorted(values)[math.ceil(q * len(values)) - 1]


def evenly_ns(*, per_second: float, count: int) -> list[int]:
    """Return when each of `count` evenly spaced arrivals is due, from the first."""
    gap_ns = 1_000_000_000 / per_second
    return [round(number * gap_ns) for number in range(count)]


def randomly_ns(*, per_second: float, count: int, seed: int) -> list[int]:
    """Return when each of `count` independent arrivals is due: a Poisson process, as users are."""
    draw = random.Random(seed)
    moments = accumulate(draw.expovariate(per_second) for _ in range(count))
    return [round(moment * 1e9) for moment in moments]
