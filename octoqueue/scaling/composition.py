"""`Composition`: how steps become one decision, and which of them is why it is what it is.

The last step that changed the number is the decisive one. Of several demands that is the first of
the largest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from octoqueue.scaling.decision import Decision, Step
from octoqueue.scaling.demand import several

if TYPE_CHECKING:
    from octoqueue.scaling.decision import Rule
    from octoqueue.scaling.demand import Demand


class Composition:
    """Wanted workers as they become, step by step."""

    def __init__(self) -> None:
        self.workers = 0
        self._steps: list[Step] = []
        self._decisive: int | None = None
        self._warnings: list[str] = []

    def demand(self, demand: Demand) -> None:
        """Take a rule's demand in: the largest counts."""
        self._warnings += demand.warnings
        self._say(demand.step, changes=demand.workers > self.workers)

    def at_least(self, workers: int, *, rule: Rule, reason: str) -> None:
        """Raise the number to `workers`; a step only when it was below."""
        if self.workers < workers:
            self._say(Step(rule=rule, workers=workers, reason=reason), changes=True)

    def at_most(self, workers: int, *, rule: Rule, reason: str) -> None:
        """Lower the number to `workers`; a step only when it was above."""
        if self.workers > workers:
            cut = f"{reason}; {several(self.workers, 'worker')} would be wanted"
            self._say(Step(rule=rule, workers=workers, reason=cut), changes=True)

    def exactly(self, workers: int, *, rule: Rule, reason: str) -> None:
        """Set the number, whatever it was."""
        self._say(Step(rule=rule, workers=workers, reason=reason), changes=True)

    def note(self, *, rule: Rule, reason: str) -> None:
        """Say something that changes nothing."""
        self._say(Step(rule=rule, workers=self.workers, reason=reason), changes=False)

    def warn(self, warning: str) -> None:
        """Say what somebody should change."""
        self._warnings.append(warning)

    def decision(self, fleet: str, *, at_ms: int, last_active_at_ms: int | None) -> Decision:
        """Return what has become of it."""
        if not self._steps:
            self.note(rule="minimum", reason="no rule demands anything")
        decisive = self._decisive or 0
        chosen = replace(self._steps[decisive], is_decisive=True)
        steps = (*self._steps[:decisive], chosen, *self._steps[decisive + 1 :])
        return Decision(
            fleet=fleet,
            at_ms=at_ms,
            workers=self.workers,
            is_active=self.workers > 0,
            steps=steps,
            reason=f"{fleet} wants {several(self.workers, 'worker')} by {chosen.rule}: "
            f"{chosen.reason}",
            warnings=tuple(dict.fromkeys(self._warnings)),
            last_active_at_ms=last_active_at_ms,
        )

    def _say(self, step: Step, *, changes: bool) -> None:
        if changes:
            self.workers = step.workers
            self._decisive = len(self._steps)
        self._steps.append(step)
