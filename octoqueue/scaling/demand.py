"""`Demand`: what one rule asks for, before anything bounds it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite
from typing import TYPE_CHECKING

from octoqueue.scaling.decision import Step

if TYPE_CHECKING:
    from octoqueue.scaling.decision import Rule

MOST_WORKERS = 1_000_000
"""What a demand without bound becomes: more than any fleet, and still a number."""

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Workers that a rule asks for."""

    rule: Rule
    workers: int
    reason: str
    warnings: tuple[str, ...] = ()

    @property
    def step(self) -> Step:
        """The same as a step of a decision."""
        return Step(rule=self.rule, workers=self.workers, reason=self.reason)


def whole_workers(amount: float) -> int:
    """Return `amount` rounded up to whole workers: never negative, never more than `MOST_WORKERS`.

    What is above a whole number by rounding of floats only is that number.
    """
    if not isfinite(amount):
        return MOST_WORKERS if amount > 0 else 0
    return min(max(ceil(amount - _ROUNDING * max(1.0, abs(amount))), 0), MOST_WORKERS)


def number(amount: float) -> str:
    """Return a number as a person reads it: three digits that count."""
    return f"{amount:.3g}" if abs(amount) < 1000 else f"{amount:.0f}"  # noqa: PLR2004 - three digits


def several(count: float, noun: str) -> str:
    """Return a count with its noun, e.g. `1 worker`, `12 workers`."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"
