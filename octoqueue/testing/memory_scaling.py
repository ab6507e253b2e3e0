"""`MemoryScalingMemory`: what scaling remembers, inside one process; its clock may be fake."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.metrics.scaling_memory import Kept, Remembered, checked_ms, mark_of
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.scaling.override import Override
from octoqueue.scaling.wishes import MOST_LEADS, Lead, Wish, WishChanges

if TYPE_CHECKING:
    from octoqueue.primitives.signals import ArrivalForecast
    from octoqueue.scaling.decision import Decision

_DECISIONS_KEPT = 50
_NOTHING = WishChanges()


@dataclass(slots=True)
class _Fleet:
    override: Override | None = None
    leader: tuple[str, int, int] = ("", 0, 0)
    decision: Decision | None = None
    active_at_ms: int | None = None
    forecast: ArrivalForecast | None = None
    wishes: dict[int, int] = field(default_factory=dict[int, int])
    leads: deque[Lead] = field(default_factory=lambda: deque[Lead](maxlen=MOST_LEADS))
    decisions: deque[Decision] = field(
        default_factory=lambda: deque["Decision"](maxlen=_DECISIONS_KEPT)
    )


class MemoryScalingMemory:
    """A `ScalingMemory` that keeps the same promises as the one in Redis."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._fleets: dict[str, _Fleet] = {}

    def _fleet(self, fleet: str) -> _Fleet:
        return self._fleets.setdefault(fleet, _Fleet())

    async def recall(self, fleet: str) -> Remembered:
        """Return all that is remembered of a fleet."""
        now, found = self._clock.now_ms(), self._fleet(fleet)
        override = found.override
        return Remembered(
            fleet=fleet,
            now_ms=now,
            override=override if override is not None and override.holds_at(now) else None,
            decision=found.decision,
            active_at_ms=found.active_at_ms,
            wishes=tuple(sorted(Wish(*wish) for wish in found.wishes.items())),
            leads=tuple(found.leads),
            forecast=found.forecast,
        )

    async def remember(self, decision: Decision, changes: WishChanges = _NOTHING) -> Kept:
        """Keep a decision, and what becomes of the wishes."""
        found = self._fleet(decision.fleet)
        came_true = [
            lead for lead in changes.came_true if found.wishes.pop(lead.workers, None) is not None
        ]
        found.leads.extendleft(came_true)
        for wish in changes.dropped:
            found.wishes.pop(wish.workers, None)
        for wish in changes.opened:
            found.wishes.setdefault(wish.workers, wish.since_ms)
        now = self._clock.now_ms()
        at = min(decision.at_ms, now)
        active_at = min(decision.last_active_at_ms or 0, now)
        if active_at > _past(found.active_at_ms, now):
            found.active_at_ms = active_at
        last = found.decision
        is_last = last is None or at >= _past(last.at_ms, now)
        if is_last:
            if last is None or mark_of(last) != mark_of(decision):
                found.decisions.appendleft(decision)
            found.decision = decision
        return Kept(is_last, tuple(came_true))

    async def recent(self, fleet: str, *, limit: int = 20) -> tuple[Decision, ...]:
        """Return the last decisions that differed from the one before, the last one first."""
        return tuple(self._fleet(fleet).decisions)[:limit]

    async def set_override(
        self,
        fleet: str,
        workers: int,
        *,
        lasting: timedelta,
        said_by: str,
        beyond_max: bool = False,
    ) -> Override:
        """Let `workers` stand in for a fleet's demand; replaces the override there is."""
        for_ms = checked_ms(workers, lasting)
        override = Override(
            workers=workers,
            until_ms=self._clock.now_ms() + for_ms,
            said_by=said_by,
            beyond_max=beyond_max,
        )
        self._fleet(fleet).override = override
        return override

    async def clear_override(self, fleet: str) -> bool:
        """End the override of a fleet; return whether there was one that still counted."""
        found = self._fleet(fleet)
        there, found.override = found.override, None
        return there is not None and there.holds_at(self._clock.now_ms())

    async def lead(self, fleet: str, agent: str, *, lasting: timedelta) -> str:
        """Return which agent leads a fleet: `agent`, if no other does."""
        found, now = self._fleet(fleet), self._clock.now_ms()
        leader, until_ms, asked_ms = found.leader
        if leader != agent and 0 < until_ms - now <= 2 * asked_ms:
            return leader
        for_ms = lasting // timedelta(milliseconds=1)
        found.leader = (agent, now + for_ms, for_ms) if for_ms else ("", 0, 0)
        return found.leader[0]

    async def publish(self, fleet: str, forecast: ArrivalForecast) -> bool:
        """Keep a forecast; return False when a later one is kept already."""
        found, now = self._fleet(fleet), self._clock.now_ms()
        there = found.forecast
        if there is not None and forecast.made_at_ms < _past(there.made_at_ms, now):
            return False
        found.forecast = forecast
        return True


def _past(moment_ms: int | None, now_ms: int) -> int:
    """Return a moment, or 0 for one of the future: a clock was set back meanwhile."""
    return moment_ms if moment_ms is not None and moment_ms <= now_ms else 0
