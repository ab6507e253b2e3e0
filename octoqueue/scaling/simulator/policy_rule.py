"""`PolicyRule`: a scaling policy as a rule of the simulator, decided by the code that runs live."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from octoqueue.scaling.deciding import decide
from octoqueue.scaling.simulator.snapshots import Snapshots
from octoqueue.scaling.wishes import MOST_LEADS, Lead, Wish, lead_seconds, wish_changes

if TYPE_CHECKING:
    from octoqueue.primitives.signals import ArrivalForecast, FleetSnapshot
    from octoqueue.scaling.decision import Decision
    from octoqueue.scaling.forecast.forecaster import ArrivalForecaster
    from octoqueue.scaling.policy import ScalingPolicy
    from octoqueue.scaling.simulator.views import View

_MINUTE_SECONDS = 60
_MINUTE_MS = 60_000
_SAMPLES = 200
_LEAST_HORIZON_MINUTES = 3


class PolicyRule:
    """Asks `decide` at each sync, with a forecast that is made anew after each minute."""

    def __init__(
        self,
        policy: ScalingPolicy,
        *,
        forecaster: ArrivalForecaster | None = None,
        name: str | None = None,
    ) -> None:
        """Take the policy.

        Args:
            policy: what decides.
            forecaster: learns from each minute, and may know earlier ones; None: no forecast.
            name: what reports call it; None: the fleet's.
        """
        self.policy = policy
        self.name = name or f"policy of {policy.fleet}"
        self.warnings: dict[str, int] = {}
        """What decisions warned of, and how often."""
        self._forecaster = forecaster
        self._forecast: ArrivalForecast | None = None
        self._minutes_seen = 0
        self._snapshots = Snapshots(policy)
        self.last_snapshot: FleetSnapshot | None = None
        """What it decided on last."""
        self._last: Decision | None = None
        self._wishes: tuple[Wish, ...] = ()
        self._leads: tuple[Lead, ...] = ()
        """The last ones, the newest first."""
        self._changes: deque[Decision] = deque(maxlen=_SAMPLES)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The last decisions that wanted something else than the one before."""
        return tuple(self._changes)

    def wanted(self, view: View) -> float:
        """Return what `decide` wants; none when the fleet is not active."""
        now_ms = view.starts_at_ms + round(view.now_seconds * 1000)
        if self._forecaster is not None:
            self._learn(view, now_ms, self._forecaster)
        last = self._last
        wishes = self._wishes
        snapshot = self._snapshots.at_moment(
            view,
            now_ms,
            forecast=self._forecast,
            lead_seconds=lead_seconds(self._leads),
            wanted_since=tuple((wish.workers, wish.since_ms) for wish in wishes),
        )
        self.last_snapshot = snapshot
        decision = decide(
            snapshot,
            self.policy,
            now_ms=now_ms,
            last_active_at_ms=None if last is None else last.last_active_at_ms,
        )
        if wishes or decision.workers > view.ready:
            self._remember_wishes(decision, snapshot)
        for warning in decision.warnings:
            self.warnings[warning] = self.warnings.get(warning, 0) + 1
        if last is None or last.workers != decision.workers:
            self._changes.append(decision)
        self._last = decision
        return decision.workers if decision.is_active else 0

    def _learn(self, view: View, now_ms: int, forecaster: ArrivalForecaster) -> None:
        """Tell the forecaster each minute that has passed, and ask it when there was one."""
        passed = int(view.now_seconds // _MINUTE_SECONDS)
        if passed == self._minutes_seen:
            return
        for minute in range(self._minutes_seen, passed):
            ago = view.now_seconds - (minute + 1) * _MINUTE_SECONDS
            arrived = view.arrived(ago + _MINUTE_SECONDS) - view.arrived(ago)
            forecaster.observe(view.starts_at_ms + minute * _MINUTE_MS, arrived)
        self._minutes_seen = passed
        measured = lead_seconds(self._leads)
        ahead_seconds = self.policy.start_up_seconds if measured is None else measured
        lead_minutes = 1 + math.ceil(ahead_seconds / _MINUTE_SECONDS)
        # Nothing is decided on what comes after a worker wanted now is ready.
        self._forecast = forecaster.forecast(
            now_ms, lead_minutes + _LEAST_HORIZON_MINUTES, lead_minutes=lead_minutes
        )

    def _remember_wishes(self, decision: Decision, snapshot: FleetSnapshot) -> None:
        """Keep the open wishes and the measured lead times, as the store does."""
        changes = wish_changes(
            self._wishes, wanted=decision.workers, workers=snapshot.workers, now_ms=decision.at_ms
        )
        closed = {*changes.dropped, *((lead.workers, lead.since_ms) for lead in changes.came_true)}
        still_open = (wish for wish in self._wishes if wish not in closed)
        self._wishes = (*still_open, *changes.opened)
        if changes.came_true:
            self._leads = (*reversed(changes.came_true), *self._leads)[:MOST_LEADS]
