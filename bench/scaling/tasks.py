"""One simulated run as a value that another process can be given, and what comes of it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from octoqueue.scaling.behavior import (
    KUBERNETES_DEFAULT,
    KUBERNETES_DOWN,
    KUBERNETES_UP,
    RatePolicy,
)
from octoqueue.scaling.forecast.forecaster import ArrivalForecaster
from octoqueue.scaling.policy import ForecastUse, Objective, ScalingPolicy
from octoqueue.scaling.simulator.fleets import Durations, FleetModel, Workload
from octoqueue.scaling.simulator.policy_rule import PolicyRule
from octoqueue.scaling.simulator.reading import read_trace
from octoqueue.scaling.simulator.rules import CpuUtilization, QueueDepth, Static, TrailingMaximum
from octoqueue.scaling.simulator.simulating import simulate
from octoqueue.scaling.simulator.traces import RequestTrace, StepTrace, service_for

if TYPE_CHECKING:
    from octoqueue.scaling.behavior import Behavior
    from octoqueue.scaling.simulator.fleets import LoopKind
    from octoqueue.scaling.simulator.traces import Trace
    from octoqueue.scaling.simulator.views import Rule

TRACES = Path(__file__).resolve().parent.parent / "traces"
WORLD_CUP, AZURE = "worldcup98_requests_per_minute", "azure_llm_code_2023"
MEAN_LOAD = 10.0
WAIT_SECONDS = 5.0
_DRAIN_SECONDS = 20.0
_LEAST_SKILL = -0.1
"""What a forecast says of the worst is of use when its middle is little worse than "as now"."""
_MOST_WORKERS = 5_000
_SLOW_DOWN = replace(
    KUBERNETES_DEFAULT,
    up=replace(
        KUBERNETES_UP, policies=(RatePolicy(kind="Percent", value=1_000, period_seconds=15),)
    ),
    down=replace(KUBERNETES_DOWN, stabilization_window_seconds=600),
)
"""Of our rule for single messages: up at once, down after ten minutes."""
_STAYING = replace(_SLOW_DOWN, down=replace(KUBERNETES_DOWN, stabilization_window_seconds=3_600))
"""Of our rule where traffic comes and goes within a minute: up at once, down after an hour."""
_AZURE_DRAIN_SECONDS = 120.0
_DAY_SECONDS = 86_400
_MINUTE_MS = 60_000
HEAVY_SECONDS, HEAVY_VARIATION = 30.0, 4.0
_HEAVY_FROM_DAY = 30

Kind = Literal["static", "trailing maximum", "depth", "cpu", "policy", "policy and forecast"]
Scenario = Literal["fluid", "heavy", "azure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A rule on a trace."""

    scenario: Scenario
    start_up_seconds: float
    kind: Kind
    parameters: tuple[float, ...] = ()
    loop: LoopKind = "direct"
    first_half: bool = False
    """Only the first half of the trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of it."""

    task: Task
    rule: str
    attainment: float
    hours_ratio: float
    """Worker-hours in units of those of perfect knowledge."""
    violations: int
    """Minutes that were not met."""
    wait_p99_seconds: float
    turns_per_hour: float
    halves: tuple[tuple[float, float], tuple[float, float]]
    """Attainment and hours of the first half and of the second."""


def run(task: Task) -> Row:
    """Simulate it."""
    trace, workload = _setting(task.scenario)
    if task.first_half:
        trace = trace.between(0, trace.duration_seconds / 2)
    fleet = FleetModel(
        start_up=Durations(mean_seconds=task.start_up_seconds),
        max_workers=_MOST_WORKERS,
        loop=task.loop,
        behavior=_behavior(task),
    )
    rule = _rule(task, workload.service.mean_seconds)
    report = simulate(trace, workload, fleet, rule, objective_seconds=WAIT_SECONDS)
    minutes = report.minutes
    middle = len(minutes.load) // 2
    return Row(
        task=task,
        rule=_name(task),
        attainment=report.attainment,
        hours_ratio=report.hours_ratio,
        violations=int((minutes.longest_wait_seconds > WAIT_SECONDS + 1e-6).sum()),
        wait_p99_seconds=report.wait_p99_seconds,
        turns_per_hour=report.direction_changes_per_hour,
        halves=(
            (minutes.met(WAIT_SECONDS, last=middle), minutes.hours_ratio(last=middle)),
            (minutes.met(WAIT_SECONDS, first=middle), minutes.hours_ratio(first=middle)),
        ),
    )


def _behavior(task: Task) -> Behavior:
    if task.loop != "agent":
        return KUBERNETES_DEFAULT
    return _STAYING if task.scenario == "azure" else _SLOW_DOWN


@cache
def trace_of(name: str) -> Trace:
    """Return a recorded trace."""
    with gzip.open(TRACES / f"{name}.csv.gz", "rt", encoding="utf-8") as lines:
        return read_trace(lines, source=name)


@cache
def world_cup() -> StepTrace:
    """Return the requests of each minute."""
    trace = trace_of(WORLD_CUP)
    assert isinstance(trace, StepTrace)
    return trace


def world_cup_service_seconds() -> float:
    """Return the service time that makes ten workers busy on average."""
    return service_for(world_cup(), load=MEAN_LOAD)


@cache
def _setting(scenario: Scenario) -> tuple[Trace, Workload]:
    if scenario == "fluid":
        service = Durations(mean_seconds=world_cup_service_seconds())
        return world_cup(), Workload(kind="fluid", service=service)
    if scenario == "heavy":
        service = Durations(mean_seconds=HEAVY_SECONDS, squared_variation=HEAVY_VARIATION)
        return _late(), Workload(kind="messages", service=service)
    trace = trace_of(AZURE)
    assert isinstance(trace, RequestTrace)
    scaled = trace.scaled_to(MEAN_LOAD, service_seconds=1.0)
    mean = MEAN_LOAD * trace.duration_seconds / len(trace.arrived_seconds)
    return scaled, Workload(kind="messages", service=Durations(mean_seconds=mean))


@cache
def _late() -> StepTrace:
    """Return the last two weeks with so few messages that ten of 30 s run on average."""
    trace = world_cup().between(_HEAVY_FROM_DAY * _DAY_SECONDS, world_cup().duration_seconds)
    return trace.scaled_to(MEAN_LOAD, service_seconds=HEAVY_SECONDS)


def _earlier_than_late(forecaster: ArrivalForecaster) -> None:
    whole, late = world_cup(), _late()
    factor = float(late.messages.sum()) / float(whole.messages[-len(late.messages) :].sum())
    for minute, messages in enumerate(whole.messages[: -len(late.messages)].tolist()):
        forecaster.observe(whole.starts_at_ms + minute * _MINUTE_MS, messages * factor)


def policy_of(task: Task, service_seconds: float) -> ScalingPolicy:
    """Return the policy of a task: objectives, and perhaps a forecast at a price of a miss."""
    forecast, drains = None, list[float]()
    if task.kind == "policy and forecast":
        price, *drains = task.parameters
        forecast = ForecastUse(missed_minute_costs=price, least_skill=_LEAST_SKILL)
        if task.scenario == "azure":  # it lasts an hour, and nothing is known before
            forecast = replace(forecast, least_scored_minutes=5, least_skill=-1.0)
    usual_drain = _AZURE_DRAIN_SECONDS if task.scenario == "azure" else _DRAIN_SECONDS
    return ScalingPolicy(
        fleet="bench",
        queues=("bench",),
        max_workers=_MOST_WORKERS,
        start_up_seconds=task.start_up_seconds,
        service_seconds=service_seconds,
        objectives=(
            Objective(
                seconds=WAIT_SECONDS,
                percentile=0.99 if task.scenario == "heavy" else 0.95,
                drain_seconds=drains[0] if drains else usual_drain,
            ),
        ),
        forecast=forecast,
    )


def _rule(task: Task, service_seconds: float) -> Rule:
    if task.kind == "static":
        return Static(workers=round(task.parameters[0]))
    if task.kind == "trailing maximum":
        minutes, headroom, spare = task.parameters
        return TrailingMaximum(minutes=round(minutes), headroom=headroom, spare_workers=spare)
    if task.kind == "depth":
        return QueueDepth(messages_per_worker=task.parameters[0])
    if task.kind == "cpu":
        return CpuUtilization(target=task.parameters[0])
    forecaster = None
    if task.kind == "policy and forecast":
        forecaster = ArrivalForecaster()
        if task.scenario == "heavy":
            _earlier_than_late(forecaster)
    return PolicyRule(policy_of(task, service_seconds), forecaster=forecaster)


def _name(task: Task) -> str:
    parameters = task.parameters
    if task.kind == "static":
        return f"static, {parameters[0]:g} workers"
    if task.kind == "trailing maximum":
        return f"largest of {parameters[0]:g} min x {parameters[1]:g} + {parameters[2]:g}"
    if task.kind == "depth":
        return f"KEDA, {parameters[0]:g} messages a worker"
    if task.kind == "cpu":
        return f"HPA, CPU at {parameters[0]:.0%}"
    if task.kind == "policy":
        return "ours without forecast"
    drained = "".join(f", drained in {seconds:g} s" for seconds in parameters[1:])
    return f"ours, a missed minute costs {parameters[0]:g}{drained}"
