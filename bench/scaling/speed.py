"""How long a decision takes, and a simulated week."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.scaling.tasks import (
    Task,
    policy_of,
    world_cup,
    world_cup_service_seconds,
)
from octoqueue.scaling.deciding import decide
from octoqueue.scaling.forecast.forecaster import ArrivalForecaster
from octoqueue.scaling.simulator.fleets import Durations, FleetModel, Workload
from octoqueue.scaling.simulator.policy_rule import PolicyRule
from octoqueue.scaling.simulator.rules import TrailingMaximum
from octoqueue.scaling.simulator.simulating import simulate

if TYPE_CHECKING:
    from octoqueue.primitives.signals import FleetSnapshot
    from octoqueue.scaling.policy import ScalingPolicy

_WEEK_SECONDS = 7 * 86_400
_ROUNDS = 5
_TASK = Task(
    scenario="fluid", start_up_seconds=60.0, kind="policy and forecast", parameters=(50.0,)
)


def speeds() -> dict[str, float]:
    """Return microseconds a decision, and seconds a simulated week of minutes."""
    service = world_cup_service_seconds()
    policy = policy_of(_TASK, service)
    week = world_cup().between(14 * 86_400, 14 * 86_400 + _WEEK_SECONDS)
    workload = Workload(service=Durations(mean_seconds=service))
    fleet = FleetModel(max_workers=1_000)
    seconds: dict[str, float] = {}
    rule = _Watching(policy)
    for name, asked in (
        ("week with decide() and forecast, s", rule),
        ("week with a trailing maximum, s", TrailingMaximum(minutes=10, headroom=1.1)),
    ):
        began = time.perf_counter()
        simulate(week, workload, fleet, asked)
        seconds[name] = time.perf_counter() - began
    snapshot = rule.snapshot
    if snapshot is not None:
        seconds["decide() with forecast, us"] = _best_microseconds(snapshot, policy)
        plain = replace(policy, forecast=None)
        seconds["decide() without, us"] = _best_microseconds(snapshot, plain)
    return seconds


class _Watching(PolicyRule):
    """A policy that remembers what it decided on last."""

    def __init__(self, policy: ScalingPolicy) -> None:
        super().__init__(policy, forecaster=ArrivalForecaster())

    @property
    def snapshot(self) -> FleetSnapshot | None:
        """The last one."""
        return self.last_snapshot


def _best_microseconds(
    snapshot: FleetSnapshot, policy: ScalingPolicy, *, count: int = 500
) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for _ in range(count):
            decide(snapshot, policy, now_ms=snapshot.taken_at_ms)
        best = min(best, time.perf_counter() - began)
    return best / count * 1e6
