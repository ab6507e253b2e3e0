"""Attainment for hours: what a rule reaches at somebody else's attainment, or at his hours."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Point(NamedTuple):
    """What a rule reaches with one choice of its parameters."""

    attainment: float
    hours_ratio: float


_SURE = 1e-9


def front(points: Iterable[Point]) -> list[Point]:
    """Return those that no other one beats in both, fewest hours first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda each: (each.hours_ratio, -each.attainment)):
        if not best or point.attainment > best[-1].attainment:
            best.append(point)
    return best


def hours_at(points: Iterable[Point], attainment: float) -> float | None:
    """Return the hours for an attainment, between two points in the logarithm of misses.

    None when no point attains it. Before the first point nothing is guessed: its hours count.
    """
    curve = front(points)
    above = next((i for i, point in enumerate(curve) if point.attainment >= attainment), None)
    if above is None:
        return None
    if above == 0:
        return curve[0].hours_ratio
    share = _share(curve[above - 1], curve[above], attainment)
    low, high = curve[above - 1].hours_ratio, curve[above].hours_ratio
    return low + share * (high - low)


def attainment_at(points: Iterable[Point], hours_ratio: float) -> float | None:
    """Return the attainment for some hours; None when no point is as cheap."""
    curve = front(points)
    if not curve or curve[0].hours_ratio > hours_ratio:
        return None
    for low, high in pairwise(curve):
        if high.hours_ratio >= hours_ratio:
            share = (hours_ratio - low.hours_ratio) / (high.hours_ratio - low.hours_ratio)
            return 1 - math.exp(
                _log_misses(low.attainment) * (1 - share) + _log_misses(high.attainment) * share
            )
    return curve[-1].attainment


def _share(low: Point, high: Point, attainment: float) -> float:
    first, last = _log_misses(low.attainment), _log_misses(high.attainment)
    return (_log_misses(attainment) - first) / (last - first)


def _log_misses(attainment: float) -> float:
    return math.log(max(1 - attainment, _SURE))
