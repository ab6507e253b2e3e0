"""`Sizing`: how large one fleet should be on this machine: the decision, damped.

What decides is shared with KEDA's scaler and the simulator; what damps is the algorithm of the
Kubernetes autoscaler. An error changes nothing: above all it never lowers.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from octoqueue.errors import OctoqueueError
from octoqueue.scaling.hpa import Bounds, damped
from octoqueue.scaling.hpa_state import HpaState

if TYPE_CHECKING:
    from octoqueue.scaling.behavior import Behavior
    from octoqueue.scaling.decision import Decision

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""What a decision may take before the size stays as it is."""


class Decider(Protocol):
    """What decides how many workers a fleet wants."""

    async def decide(self, fleet: str) -> Decision:
        """Return the decision of this moment.

        Raises:
            OctoqueueError: what it stands on cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How large a fleet should be now."""

    workers: int
    reason: str
    decided: int | None
    """What was decided, before damping; None when nothing could be."""


class Sizing:
    """The damping of one fleet, with its memory."""

    def __init__(self, fleet: str, decider: Decider, *, bounds: Bounds, behavior: Behavior) -> None:
        self.bounds = bounds
        self._fleet = fleet
        self._decider = decider
        self._behavior = behavior
        self._state = HpaState()
        self._decision: Decision | None = None
        self._is_blind = False
        self._warned: tuple[str, ...] = ()

    async def look(self) -> None:
        """Have it decided."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                self._decision = await self._decider.decide(self._fleet)
        except (OctoqueueError, TimeoutError) as error:
            self._decision = None
            if not self._is_blind:
                self._is_blind = True
                reason = str(error) or f"no decision within {PATIENCE_SECONDS:g} s"
                log.warning("fleet_not_decided", extra={"fleet": self._fleet, "reason": reason})
            return
        if self._is_blind:
            self._is_blind = False
            log.info("fleet_decided_again", extra={"fleet": self._fleet})
        if self._decision.warnings != self._warned:
            self._warned = self._decision.warnings
            for warning in self._warned:
                log.warning("fleet_warning", extra={"fleet": self._fleet, "warning": warning})

    def wish(self, *, current: int, elsewhere: int, now: float, led_by: str | None = None) -> Wish:
        """Return the size after a `look`; `taken` makes it true.

        Args:
            current: workers that stay here.
            elsewhere: workers of the fleet on other machines: they count towards what is wanted.
            now: seconds of a monotonic clock.
            led_by: the agent of another machine that leads the fleet: then this one has its least.
        """
        decision = self._decision
        if decision is None:
            return Wish(workers=current, reason="nothing can be decided", decided=None)
        sync = damped(
            self._state,
            wanted=self._wanted(decision, current=current, elsewhere=elsewhere, led_by=led_by),
            current=current,
            bounds=self._bounds_for(decision),
            behavior=self._behavior,
            now=now,
        )
        reason = decision.reason if led_by is None else f"{led_by} leads the fleet"
        return Wish(workers=sync.replicas, reason=reason, decided=decision.workers)

    def taken(
        self,
        *,
        current: int,
        granted: int,
        elsewhere: int,
        now: float,
        led_by: str | None = None,
    ) -> None:
        """Remember this moment: what was wanted, and that the fleet became `granted` strong."""
        decision = self._decision
        if decision is None:
            return
        bounds = self._bounds_for(decision)
        most = max(1, bounds.least, min(bounds.most, max(granted, current)))
        self._state = damped(
            self._state,
            wanted=self._wanted(decision, current=current, elsewhere=elsewhere, led_by=led_by),
            current=current,
            bounds=Bounds(least=bounds.least, most=most),
            behavior=self._behavior,
            now=now,
        ).state

    def _wanted(
        self, decision: Decision, *, current: int, elsewhere: int, led_by: str | None
    ) -> int:
        if led_by is not None:
            wanted = min(self.bounds.least, decision.workers)
        else:
            wanted = max(0, decision.workers - elsewhere)
        return max(wanted, current) if _is_held(decision) else wanted

    def _bounds_for(self, decision: Decision) -> Bounds:
        """Return the bounds, moved as far as somebody has ordered who may exceed them."""
        return Bounds(
            least=min(self.bounds.least, decision.workers),
            most=max(self.bounds.most, decision.workers, 1),
        )


def _is_held(decision: Decision) -> bool:
    """Return whether it is an older one, because none could be made: that lowers nothing."""
    return any(step.rule == "hold" for step in decision.steps)
