"""`policy_from`: the scaling policy of a fleet, from configuration and its component's defaults.

What the configuration does not say comes from the reference's component of that name
(`octoqueue/scaling/defaults.py`). A rule that is configured (depth, latency, rate, objectives)
replaces all rules of those defaults.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from octoqueue.errors import FleetUnknown
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.queue_names import LETTERS_PREFIX
from octoqueue.scaling.behavior import Behavior, DirectionRules, RatePolicy
from octoqueue.scaling.defaults import defaults_of
from octoqueue.scaling.policy import (
    Caps,
    DepthTarget,
    FloorWindow,
    ForecastUse,
    LatencyTarget,
    Objective,
    Protection,
    RateTarget,
    ScalingPolicy,
)

if TYPE_CHECKING:
    from datetime import timedelta

    from octoqueue.scaling.behavior import Select
    from octoqueue.settings.root import Settings
    from octoqueue.settings.scaling_rules import (
        DirectionSettings,
        LatencySettings,
        ScalingSettings,
    )

_LANES = {"high": Lane.HIGH, "normal": Lane.NORMAL, "low": Lane.LOW, "all": None}
_SELECTS: dict[str, Select] = {"max": "Max", "min": "Min", "disabled": "Disabled"}


EDGE: Final = "reflex"
"""The fleet of the HTTP application's processes; there is one when `http.app` is configured."""


def policy_from(settings: Settings, fleet: str) -> ScalingPolicy:
    """Return the policy of a configured fleet, or of the HTTP edge (`reflex`).

    Raises:
        FleetUnknown: none of that name is configured.
    """
    found = settings.fleets.get(fleet)
    if found is None and fleet == EDGE and settings.http.app is not None:
        return _policy(fleet, settings.http.scaling, queues=(), slots_per_worker=1)
    if found is None:
        known = (*settings.fleets, *((EDGE,) if settings.http.app is not None else ()))
        near = next(iter(get_close_matches(fleet, known, n=1)), None)
        raise FleetUnknown(fleet, known=known, nearest=near)
    queues = found.queues
    if found.kind == "orchestrator":
        queues = tuple(f"{LETTERS_PREFIX}{p}" for p in range(settings.workflows.partitions))
    policy = _policy(fleet, found.scaling, queues=queues, slots_per_worker=found.concurrency)
    running = _running_at_most(settings, policy.queues)
    return replace(policy, caps=replace(policy.caps, running=running))


def _running_at_most(settings: Settings, queues: tuple[str, ...]) -> int | None:
    """Return how many messages of the queues may run together; None when one of them has no cap."""
    configured = settings.lanes.queues
    caps = [configured[name].concurrency if name in configured else None for name in queues]
    known = [cap for cap in caps if cap is not None]
    return sum(known) if known and len(known) == len(caps) else None


def _policy(
    fleet: str, scaling: ScalingSettings, *, queues: tuple[str, ...], slots_per_worker: int
) -> ScalingPolicy:
    defaults = defaults_of(fleet, slots_per_worker=slots_per_worker)
    objectives = _objectives(scaling)
    is_told = bool(scaling.depth or scaling.latency or scaling.rate or objectives)
    depth, latency, rate = defaults.depth, defaults.latency, defaults.rate
    if is_told:
        depth = DepthTarget(messages_per_worker=scaling.depth) if scaling.depth else None
        rate = RateTarget(per_second_and_worker=scaling.rate) if scaling.rate else None
        latency = _latency(scaling.latency)
    least, most = scaling.bounds_of(fleet)
    return ScalingPolicy(
        fleet=fleet,
        queues=scaling.queues or queues,
        min_workers=least,
        max_workers=most,
        slots_per_worker=slots_per_worker,
        start_up_seconds=scaling.start_up.total_seconds(),
        depth=depth,
        latency=latency,
        rate=rate,
        objectives=objectives,
        forecast=_forecast(scaling),
        floors=tuple(
            FloorWindow(
                start=floor.start, end=floor.end, workers=floor.workers, timezone=floor.timezone
            )
            for floor in scaling.schedule.values()
        ),
        caps=Caps(
            cost_per_worker_hour=scaling.caps.cost_per_worker_hour,
            budget_per_hour=scaling.caps.budget_per_hour,
            quota_per_second=scaling.caps.quota_per_second,
        ),
        protection=Protection(
            at_risk_seconds=_seconds(scaling.protection.at_risk),
            at_risk_cost=scaling.protection.at_risk_cost,
            busy=scaling.protection.busy,
        ),
        service_seconds=_seconds(scaling.service),
        behavior=Behavior(
            up=_direction(scaling.behavior.up, defaults.behavior.up),
            down=_direction(scaling.behavior.down, defaults.behavior.down),
        ),
        activation_messages=scaling.activation,
        active_for_seconds=scaling.active_for.total_seconds(),
        stale_after_seconds=scaling.stale_after.total_seconds(),
    )


def _latency(given: LatencySettings | None) -> LatencyTarget | None:
    if given is None:
        return None
    return LatencyTarget(seconds=given.within.total_seconds(), percentile=given.percentile)


def _objectives(scaling: ScalingSettings) -> tuple[Objective, ...]:
    named = ((lane, getattr(scaling.objectives, name)) for name, lane in _LANES.items())
    return tuple(
        Objective(
            seconds=given.within.total_seconds(),
            percentile=given.percentile,
            lane=lane,
            drain_seconds=_seconds(given.drain),
            of=given.of,
        )
        for lane, given in named
        if given is not None
    )


def _forecast(scaling: ScalingSettings) -> ForecastUse | None:
    given = scaling.forecast
    if not given.use:
        return None
    return ForecastUse(
        quantile=given.quantile,
        missed_minute_costs=given.missed_minute_costs,
        least_skill=given.least_skill,
        least_scored_minutes=int(given.least_scored.total_seconds() // 60),
        stale_after_seconds=given.stale_after.total_seconds(),
    )


def _direction(given: DirectionSettings | None, default: DirectionRules) -> DirectionRules:
    if given is None:
        return default
    policies = (
        given.workers
        and RatePolicy(
            kind="Pods",
            value=given.workers,
            period_seconds=int(given.workers_period.total_seconds()),
        ),
        given.percent
        and RatePolicy(
            kind="Percent",
            value=given.percent,
            period_seconds=int(given.percent_period.total_seconds()),
        ),
    )
    told = tuple(policy for policy in policies if policy)
    select = default.select if not told else "Max"
    window = _seconds(given.window)
    return DirectionRules(
        stabilization_window_seconds=(
            default.stabilization_window_seconds if window is None else int(window)
        ),
        policies=told or default.policies,
        select=select if given.select is None else _SELECTS[given.select],
        tolerance=given.tolerance,
    )


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
