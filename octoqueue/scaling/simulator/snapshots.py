"""From a view to the snapshot that a reader of the real signals would have at that moment.

Counts are whole, as counters are; what never changes is built once.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from octoqueue.primitives.lane import LANES
from octoqueue.primitives.signals import (
    KEPT_SECONDS,
    WINDOWS_SECONDS,
    Counts,
    FleetSnapshot,
    LaneSignals,
    Presence,
    QueueSignals,
    ServiceTime,
    Waits,
)

if TYPE_CHECKING:
    from octoqueue.primitives.signals import ArrivalForecast
    from octoqueue.scaling.policy import ScalingPolicy
    from octoqueue.scaling.simulator.views import View

_LITTLE = 1e-6
_EMPTY = {lane: LaneSignals(lane=lane) for lane in LANES}


class Snapshots:
    """Builds the snapshots of one fleet; all messages are in the first queue of its policy."""

    def __init__(self, policy: ScalingPolicy) -> None:
        """Prepare what does not change."""
        self._policy = policy
        self._reads_waits = policy.latency is not None
        self._at_risk_seconds = policy.protection.at_risk_seconds
        self._presences: dict[tuple[int, int, float], Presence] = {}
        self._last: tuple[list[int], list[float], tuple[Presence, ...]] = ([], [], ())
        """Who ran how much since when at the moment before, and what they said of it."""

    def at_moment(
        self,
        view: View,
        now_ms: int,
        *,
        forecast: ArrivalForecast | None,
        lead_seconds: float | None = None,
        wanted_since: tuple[tuple[int, int], ...] = (),
    ) -> FleetSnapshot:
        """Return what is read now."""
        attempts, mean, variance = view.service()
        lanes = dict(_EMPTY)
        for lane in view.lanes:
            lanes[LANES[lane]] = self._lane(view, lane)
        queue, *others = self._policy.queues
        busy = QueueSignals(
            queue=queue,
            taken_at_ms=now_ms,
            lanes=lanes,
            in_flight=round(view.in_flight()),
            completions=Counts(
                counts=tuple(round(view.completed(window)) for window in WINDOWS_SECONDS)
            ),
            service=ServiceTime(
                window_seconds=KEPT_SECONDS,
                count=attempts,
                mean_seconds=mean if attempts else 0.0,
                variance_seconds2=variance if attempts > 1 else 0.0,
            ),
        )
        return FleetSnapshot(
            fleet=self._policy.fleet,
            taken_at_ms=now_ms,
            queues=(
                busy,
                *(QueueSignals(queue=name, taken_at_ms=now_ms, lanes=_EMPTY) for name in others),
            ),
            workers=self._workers(view, now_ms),
            forecast=forecast,
            lead_seconds=lead_seconds,
            wanted_since=wanted_since,
        )

    def _lane(self, view: View, lane: int) -> LaneSignals:
        waiting = math.ceil(view.waiting(lane) - _LITTLE)
        return LaneSignals(
            lane=LANES[lane],
            waiting=waiting,
            oldest_age_seconds=view.oldest_age_seconds(lane) if waiting else 0.0,
            arrivals=Counts(
                counts=tuple(round(view.arrived(window, lane)) for window in WINDOWS_SECONDS)
            ),
            waits=(
                Waits(window_seconds=60, counts=tuple(view.waits(lane)))
                if self._reads_waits
                else Waits(window_seconds=60)
            ),
        )

    def _workers(self, view: View, now_ms: int) -> tuple[Presence, ...]:
        presences = self._presences
        risks = view.at_risk_seconds() if self._at_risk_seconds is not None else ()
        loses_much = math.inf if self._at_risk_seconds is None else self._at_risk_seconds
        since, all_running = list(view.ready_since()), list(view.running())
        if not risks and (all_running, since) == self._last[:2]:
            return self._last[2]
        workers: list[Presence] = []
        for index, running in enumerate(all_running):
            if risks and risks[index] >= loses_much:
                fresh = self._presence(view, index, running, since[index])
                workers.append(
                    replace(fresh, said_at_ms=now_ms, at_risk_longest_seconds=risks[index])
                )
                continue
            key = (index, running, since[index])
            presence = presences.get(key)
            if presence is None:
                presence = presences[key] = self._presence(view, *key)
            workers.append(presence)
        said = tuple(workers)
        if not risks:
            self._last = (all_running, since, said)
        return said

    def _presence(self, view: View, index: int, running: int, ready_since: float) -> Presence:
        ready_at_ms = view.starts_at_ms + round(ready_since * 1000)
        return Presence(
            session=f"s{index}",
            name=f"worker-{index}",
            fleet=self._policy.fleet,
            queues=self._policy.queues,
            slots=view.slots,
            running=running,
            started_at_ms=ready_at_ms,
            ready_at_ms=ready_at_ms,
            said_at_ms=ready_at_ms,
        )
