"""`LastGood`: the last good decision of a fleet, and for how long it may stand in for the next one.

It lives in this process: when the store is gone, so is what the store remembers. Where the store is
there and only the signals are not, the newer of both counts, so that replicas hold the same one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from octoqueue.scaling.decision import Decision, Step

if TYPE_CHECKING:
    from datetime import timedelta


class Held(NamedTuple):
    """A decision that stands in for one that could not be made."""

    decision: Decision
    age_seconds: float


class LastGood:
    """Good decisions of all fleets, each with its age on the monotonic clock."""

    def __init__(self, *, hold: timedelta) -> None:
        """Hold decisions for `hold`; 0 holds none."""
        self.hold_seconds = hold.total_seconds()
        self._good: dict[str, tuple[Decision, float]] = {}

    def learn(self, decision: Decision, *, now: float, age_seconds: float = 0.0) -> None:
        """Remember a decision that is `age_seconds` old, unless a younger one is known.

        The same decision grows no younger by being read again: after the store's clock was set
        back its age is 0 for as long as that.
        """
        made = now - max(0.0, age_seconds)
        known = self._good.get(decision.fleet)
        if known is None or (known[1] <= made and known[0] != decision):
            self._good[decision.fleet] = (decision, made)

    def spent(self, fleet: str) -> float:
        """Return for how long a decision of a fleet was held that is no more; 0 without one."""
        return self.hold_seconds if fleet in self._good else 0.0

    def held(self, fleet: str, *, now: float, reason: str) -> Held | None:
        """Return the last good decision, with a step that says so; None when it is too old."""
        known = self._good.get(fleet)
        if known is None:
            return None
        decision, made = known
        age = max(0.0, now - made)
        if age > self.hold_seconds:
            return None
        said = f"{reason}; what was decided {age:.0f} s ago counts for {self.hold_seconds:g} s"
        step = Step(rule="hold", workers=decision.workers, reason=said, is_decisive=True)
        others = tuple(replace(other, is_decisive=False) for other in decision.steps)
        workers = "1 worker" if decision.workers == 1 else f"{decision.workers} workers"
        sentence = f"{fleet} wants {workers} by hold: {said}"
        held = replace(decision, steps=(*others, step), reason=sentence)
        return Held(held, age)
