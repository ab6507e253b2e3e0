"""Policies and loops in the simulator: the code that decides live, in virtual time."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from octoqueue.scaling.behavior import Behavior, DirectionRules, RatePolicy
from octoqueue.scaling.deciding import decide
from octoqueue.scaling.forecast.forecaster import ArrivalForecaster
from octoqueue.scaling.policy import (
    DepthTarget,
    ForecastUse,
    LatencyTarget,
    Objective,
    ScalingPolicy,
)
from octoqueue.scaling.simulator.fleets import Durations, FleetModel, Workload
from octoqueue.scaling.simulator.loops import AgentLoop, DirectLoop, HpaLoop, KedaLoop, loop_of
from octoqueue.scaling.simulator.policy_rule import PolicyRule
from octoqueue.scaling.simulator.rules import QueueDepth
from octoqueue.scaling.simulator.simulating import simulate
from octoqueue.scaling.simulator.snapshots import Snapshots
from octoqueue.scaling.simulator.traces import StepTrace

if TYPE_CHECKING:
    from octoqueue.primitives.signals import FleetSnapshot
    from octoqueue.scaling.simulator.views import View

POLICY = ScalingPolicy(
    fleet="coder",
    queues=("coder", "other"),
    max_workers=50,
    depth=DepthTarget(messages_per_worker=2),
    service_seconds=10,
)


def waves(minutes: int, *, high: float = 8, low: float = 1) -> StepTrace:
    """Messages of ten seconds that keep some workers busy, more and less by turns of 10 min."""
    loads = [high if minute // 10 % 2 else low for minute in range(minutes)]
    return StepTrace(name="waves", starts_at_ms=0, step_seconds=60, messages=np.array(loads) * 6)


@pytest.mark.parametrize("kind", ["fluid", "messages"])
def test_the_simulated_fleet_is_what_decide_wants(kind: str) -> None:
    seen: list[tuple[FleetSnapshot, float]] = []
    snapshots = Snapshots(POLICY)
    rule = PolicyRule(POLICY)

    class Both:
        name = "both"

        def wanted(self, view: View) -> float:
            snapshot = snapshots.at_moment(view, round(view.now_seconds * 1000), forecast=None)
            wanted = rule.wanted(view)
            seen.append((snapshot, wanted))
            return wanted

    workload = Workload(kind=kind, service=Durations(mean_seconds=10))  # type: ignore[arg-type]
    simulate(waves(30), workload, FleetModel(), Both())
    assert len(seen) == 30 * 4
    for snapshot, wanted in seen:
        assert decide(snapshot, POLICY, now_ms=snapshot.taken_at_ms).workers == wanted
    assert {queue.queue for queue in seen[0][0].queues} == {"coder", "other"}
    assert max(snapshot.in_system for snapshot, _ in seen) >= 8
    assert rule.decisions


@pytest.mark.parametrize("kind", ["fluid", "messages"])
def test_a_reader_sees_in_both_models_the_rate_the_work_and_the_workers(kind: str) -> None:
    snapshots = Snapshots(replace(POLICY, latency=LatencyTarget(seconds=1)))
    last: list[FleetSnapshot] = []

    class Looking:
        name = "looking"

        def wanted(self, view: View) -> float:
            last.append(snapshots.at_moment(view, round(view.now_seconds * 1000), forecast=None))
            return 6

    trace = StepTrace(name="s", starts_at_ms=0, step_seconds=60, messages=np.full(30, 30.0))
    workload = Workload(kind=kind, service=Durations(mean_seconds=10))  # type: ignore[arg-type]
    simulate(trace, workload, FleetModel(initial_workers=6), Looking())
    queue = last[-1].queues[0]
    arrivals = sum(lane.arrivals.within(600) for lane in queue.lanes.values())
    assert arrivals == pytest.approx(300, abs=15)
    assert queue.completions.within(600) == pytest.approx(300, abs=15)
    assert queue.service.mean_seconds == pytest.approx(10)
    assert last[-1].ready_workers == last[-1].ready_slots == 6
    assert queue.in_flight <= 6
    waits = sum(sum(lane.waits.counts) for lane in queue.lanes.values())
    assert waits == pytest.approx(30, abs=8)


def test_a_forecast_is_learnt_minute_by_minute_and_used_once_it_is_known_to_be_good() -> None:
    policy = replace(
        POLICY,
        depth=None,
        objectives=(Objective(seconds=5),),
        forecast=ForecastUse(least_scored_minutes=10, least_skill=-5),
    )
    rule = PolicyRule(policy, forecaster=ArrivalForecaster())
    workload = Workload(service=Durations(mean_seconds=10))
    simulate(waves(120), workload, FleetModel(), rule)
    steps = {step.rule for decision in rule.decisions for step in decision.steps}
    assert "forecast" in steps


def test_what_a_policy_warns_of_is_in_the_report() -> None:
    policy = replace(
        POLICY, depth=None, objectives=(Objective(seconds=5),), max_workers=2, min_workers=1
    )
    workload = Workload(service=Durations(mean_seconds=10))
    report = simulate(waves(20), workload, FleetModel(max_workers=2), PolicyRule(policy))
    assert report.decisions[-1].workers <= 2


def test_the_loop_of_a_fleet_that_may_be_none_is_keda_s() -> None:
    assert isinstance(loop_of(FleetModel(loop="hpa", min_workers=0)), KedaLoop)
    assert isinstance(loop_of(FleetModel(loop="hpa", min_workers=1)), HpaLoop)
    assert isinstance(loop_of(FleetModel(loop="agent")), AgentLoop)
    assert isinstance(loop_of(FleetModel()), DirectLoop)


@pytest.mark.parametrize("seed", range(5))
def test_above_none_keda_adds_nothing_to_the_autoscaler(seed: int) -> None:
    model = FleetModel(loop="hpa", min_workers=1, max_workers=40)
    keda, hpa = KedaLoop(model), HpaLoop(model)
    generator = np.random.default_rng(seed)
    one = other = 3
    for sync in range(200):
        wanted = None if generator.random() < 0.1 else float(generator.integers(0, 60))
        one = keda.size(wanted, now_seconds=sync * 15.0, current=one)
        other = hpa.size(wanted, now_seconds=sync * 15.0, current=other)
        assert one == other


def test_keda_shrinks_to_none_after_its_cooldown_and_wakes_at_a_poll() -> None:
    model = FleetModel(
        loop="hpa", min_workers=0, max_workers=5, cooldown_seconds=60, polling_seconds=30
    )
    loop, size, sizes = KedaLoop(model), 2, []
    for sync in range(12):
        wanted = 2.0 if sync == 0 or sync >= 9 else 0.0
        size = loop.size(wanted, now_seconds=sync * 15.0, current=size)
        sizes.append(size)
    assert sizes[:6] == [2] * 6  # active at 0 s, cooling until 60 s; polls at 0, 30, 60, 90 s
    assert sizes[6:10] == [0] * 4
    assert sizes[10] >= 1  # the poll at 150 s


def test_shrinking_waits_for_the_stabilization_window() -> None:
    behavior = Behavior(
        up=DirectionRules(
            stabilization_window_seconds=0,
            policies=(RatePolicy(kind="Percent", value=100, period_seconds=15),),
        ),
        down=DirectionRules(
            stabilization_window_seconds=120,
            policies=(RatePolicy(kind="Percent", value=100, period_seconds=15),),
        ),
    )
    rule = QueueDepth(messages_per_worker=1)
    workload = Workload(service=Durations(mean_seconds=10))
    model = FleetModel(behavior=behavior, start_up=Durations(mean_seconds=10))
    direct = simulate(waves(60), workload, model, rule)
    for loop in ("hpa", "agent"):
        damped = simulate(waves(60), workload, replace(model, loop=loop), rule)
        # The load falls at the beginning of the 21st minute; the fleet two minutes later.
        assert damped.minutes.workers[21] > direct.minutes.workers[21]
        assert damped.minutes.workers[25] == direct.minutes.workers[25]
        assert damped.worker_hours > direct.worker_hours


_PROGRAM = """
import numpy as np
from octoqueue.scaling.forecast.forecaster import ArrivalForecaster
from octoqueue.scaling.policy import ForecastUse, Objective, ScalingPolicy
from octoqueue.scaling.simulator.fleets import Durations, FleetModel, Workload
from octoqueue.scaling.simulator.policy_rule import PolicyRule
from octoqueue.scaling.simulator.simulating import simulate
from octoqueue.scaling.simulator.traces import StepTrace

policy = ScalingPolicy(
    fleet="f", queues=("a", "b"), max_workers=50, objectives=(Objective(seconds=5),),
    forecast=ForecastUse(least_scored_minutes=5, least_skill=-1.0),
)
trace = StepTrace(
    name="t", starts_at_ms=0, step_seconds=60, messages=np.arange(30.0) * 7 % 11 * 9
)
model = FleetModel(
    start_up=Durations(mean_seconds=60, squared_variation=1), failures_per_worker_hour=2
)
for kind in ("fluid", "messages"):
    rule = PolicyRule(policy, forecaster=ArrivalForecaster())
    work = Workload(kind=kind, service=Durations(mean_seconds=2, squared_variation=2), seed=3)
    report = simulate(trace, work, model, rule)
    print(report.minutes, report.wait_p99_seconds, report.redone_messages, report.decisions)
"""


def test_another_process_comes_to_the_same_numbers() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert "wants" in said.pop()
