"""What it would cost to delete a pod: the number by which Kubernetes chooses whom it deletes. Pure.

A ReplicaSet that shrinks deletes first, among pods that are equally ready, those with the lowest
`controller.kubernetes.io/pod-deletion-cost`, an int32. Every change of it is a write to the API
server, so the number moves when a worker becomes busy or idle and when what is at risk doubles.

    0                        idle
    1                        busy with nothing worth mentioning at risk
    1 + 64 cost + seconds    else, both as counts of doublings: cost counts first, then time

The order is that in which the fleet agent chooses (`fleet/choosing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp
from typing import Final

ANNOTATION: Final = "controller.kubernetes.io/pod-deletion-cost"

LEAST_SECONDS: Final = 10.0
"""Less at risk than this is none: a worker that is stopped finishes it."""
LEAST_COST: Final = 0.001
"""The same, in the unit of `spent`."""
MOST_SECONDS_LEVEL: Final = 40
MOST_COST_LEVEL: Final = 80
HIGHEST: Final = 1 + 64 * MOST_COST_LEVEL + MOST_SECONDS_LEVEL


def deletion_cost(*, running: int, at_risk_seconds: float, at_risk_cost: float) -> int:
    """Return what deleting a worker costs, from 0 to `HIGHEST`; never less for more of anything."""
    seconds = _level(at_risk_seconds, LEAST_SECONDS, MOST_SECONDS_LEVEL)
    cost = _level(at_risk_cost, LEAST_COST, MOST_COST_LEVEL)
    if running <= 0 and not seconds and not cost:
        return 0
    return 1 + 64 * cost + seconds


def _level(amount: float, least: float, most: int) -> int:
    if not amount >= least:  # NaN is none
        return 0
    times = amount / least
    return most if times >= 2.0**most else min(most, frexp(times)[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a cost may be said, by a clock in seconds."""

    every_seconds: float = 10.0
    """Between two of them, at least. What changes meanwhile is said then, the last value only."""
    fall_seconds: float = 60.0
    """Between two of them where the second is less, but not idle: many short messages together
    are now a little above a step, now a little below."""

    def is_due(self, wanted: int, said: int | None, *, since_seconds: float) -> bool:
        """Return whether `wanted` is to be said now.

        Args:
            wanted: what is true now.
            said: what was said last; None: nothing yet.
            since_seconds: how long ago.
        """
        if wanted == said:
            return False
        if said is None:
            return True
        is_small_fall = 0 < wanted < said
        return since_seconds >= (self.fall_seconds if is_small_fall else self.every_seconds)
