"""The model of single messages: against queueing theory, by hand, and laws."""

from __future__ import annotations

import math
from dataclasses import replace
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.scaling.simulator.fleets import Durations, FleetModel, Outage, Workload
from octoqueue.scaling.simulator.loops import DirectLoop
from octoqueue.scaling.simulator.messages import Messages
from octoqueue.scaling.simulator.rules import QueueDepth, Static
from octoqueue.scaling.simulator.simulating import simulate
from octoqueue.scaling.simulator.traces import RequestTrace, StepTrace

if TYPE_CHECKING:
    from octoqueue.scaling.simulator.views import Rule, View

ONE_BY_ONE = Workload(kind="messages", service=Durations(mean_seconds=1))


def requests(
    *arrived: float,
    service: float | list[float] = 10,
    lanes: list[int] | None = None,
    duration: float = 120,
) -> RequestTrace:
    count = len(arrived)
    return RequestTrace(
        name="r",
        starts_at_ms=0,
        duration_seconds=duration,
        arrived_seconds=np.array(arrived),
        service_seconds=np.array(service if isinstance(service, list) else [service] * count),
        lanes=None if lanes is None else np.array(lanes),
    )


def fleet(workers: int, **others: object) -> FleetModel:
    return replace(FleetModel(initial_workers=workers, min_workers=0), **others)  # type: ignore[arg-type]


def waits_of(trace: RequestTrace, rule: Rule, model: FleetModel) -> list[float]:
    assert trace.service_seconds is not None
    run = Messages(
        trace,
        service_seconds=trace.service_seconds,
        model=model,
        generator=np.random.default_rng(0),
    )
    run.run(rule, DirectLoop(model))
    run.run_out()
    return [round(float(wait), 6) for wait in run.history.waited_seconds()]


def erlang_c(servers: int, load: float) -> float:
    blocked = 1.0
    for each in range(1, servers + 1):
        blocked = load * blocked / (each + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def poisson(seed: int, *, load: float, count: int) -> RequestTrace:
    """Messages of one second on average, both times exponential."""
    generator = np.random.default_rng(seed)
    arrived = np.cumsum(generator.exponential(1 / load, count))
    return RequestTrace(
        name="m/m/c",
        starts_at_ms=0,
        duration_seconds=float(arrived[-1]) + 1,
        arrived_seconds=arrived,
        service_seconds=generator.exponential(1.0, count),
    )


@pytest.mark.parametrize(("workers", "slots"), [(10, 1), (2, 5)])
def test_waits_are_those_of_theory_for_poisson_arrivals_and_exponential_times(
    workers: int, slots: int
) -> None:
    load, servers = 7.0, workers * slots
    model = fleet(workers, slots=slots, sync_seconds=600)
    reports = [
        simulate(
            poisson(seed, load=load, count=100_000),
            ONE_BY_ONE,
            model,
            Static(workers=workers),
            objective_seconds=0.2,
        )
        for seed in range(100, 106)
    ]
    waits = erlang_c(servers, load)
    mean = np.mean([report.wait_mean_seconds for report in reports])
    late = np.mean([1 - report.work_within for report in reports])
    assert mean == pytest.approx(waits / (servers - load), rel=0.06)
    assert late == pytest.approx(waits * math.exp(-(servers - load) * 0.2), rel=0.04)


@given(seed=st.integers(0, 1000), workers=st.integers(1, 5))
def test_waits_are_those_of_the_recursion_for_servers_side_by_side(seed: int, workers: int) -> None:
    trace = poisson(seed, load=workers * 0.9, count=300)
    assert trace.service_seconds is not None
    free = [0.0] * workers
    expected = []
    for arrived, seconds in zip(trace.arrived_seconds, trace.service_seconds, strict=True):
        start = max(heappop(free), arrived)
        heappush(free, start + seconds)
        expected.append(start - arrived)
    assert waits_of(trace, Static(workers=workers), fleet(workers)) == pytest.approx(
        expected, abs=1e-5
    )


def test_messages_start_in_the_order_of_arrival() -> None:
    assert waits_of(requests(0, 1, 2, 3), Static(workers=1), fleet(1)) == [0, 9, 18, 27]
    assert waits_of(requests(0, 1, 2, 3), Static(workers=2), fleet(2)) == [0, 0, 8, 8]


def test_a_higher_lane_starts_first_and_interrupts_nothing() -> None:
    trace = requests(0, 1, 2, 3, lanes=[2, 2, 1, 0])
    assert waits_of(trace, Static(workers=1), fleet(1)) == [0, 29, 18, 7]


class Script:
    """Wants what is written for each moment."""

    name = "script"

    def __init__(self, *steps: tuple[float, int]) -> None:
        self._steps = steps
        self.views: list[tuple[float, int, int]] = []

    def wanted(self, view: View) -> float:
        self.views.append((view.now_seconds, view.workers, view.ready))
        return max((at, size) for at, size in self._steps if at <= view.now_seconds)[1]


def test_a_worker_that_is_let_go_finishes_what_it_runs_and_takes_nothing_more() -> None:
    trace = requests(0, 0, 16, service=40)
    model = fleet(2, start_up=Durations(mean_seconds=5))
    rule = Script((0, 2), (15, 1))
    # The two of the beginning end at 40 s; the one that stays takes the third.
    assert waits_of(trace, rule, model) == [0, 0, 24]
    report = simulate(trace, ONE_BY_ONE, model, Script((0, 2), (15, 1)))
    # One worker for 120 s, and the other one until it has finished at 40 s.
    assert report.worker_hours == pytest.approx((120 + 40) / 3600)


def test_the_idlest_worker_is_let_go_first_and_an_idle_one_leaves_at_once() -> None:
    trace = requests(0, service=40)
    report = simulate(trace, ONE_BY_ONE, fleet(2), Script((0, 2), (15, 1)))
    assert report.worker_hours == pytest.approx((120 + 15) / 3600)


def test_a_new_worker_takes_what_waits_as_soon_as_it_is_ready() -> None:
    model = fleet(1, start_up=Durations(mean_seconds=7))
    rule = Script((0, 1), (15, 2))
    assert waits_of(requests(0, 14, service=60), rule, model) == [0, 8]
    assert rule.views[1:3] == [(15, 1, 1), (30, 2, 2)]


def test_what_died_with_a_worker_is_run_again_when_its_lease_is_over() -> None:
    trace = requests(*range(0, 3000, 10), service=8, duration=3600)
    model = fleet(
        2, failures_per_worker_hour=20, lease_seconds=30, start_up=Durations(mean_seconds=5)
    )
    report = simulate(trace, ONE_BY_ONE, model, Static(workers=2))
    calm = simulate(trace, ONE_BY_ONE, fleet(2), Static(workers=2))
    assert report.redone_messages >= 3
    assert calm.redone_messages == calm.wait_longest_seconds == 0
    assert report.left_work_seconds == 0
    assert math.isfinite(report.wait_longest_seconds)


def test_what_is_leased_by_the_dead_counts_as_in_flight() -> None:
    trace = requests(0, service=1000)
    run = Messages(
        trace,
        service_seconds=np.array([1000.0]),
        model=fleet(1, failures_per_worker_hour=3600, lease_seconds=1000),
        generator=np.random.default_rng(0),
    )
    seen: list[float] = []

    class Looking:
        name = "looking"

        def wanted(self, view: View) -> float:
            seen.append(view.in_flight() + view.waiting())
            return 1

    run.run(Looking(), DirectLoop(run._model))
    assert run.redone_messages >= 1
    assert seen[1:] == [1] * (len(seen) - 1)


def test_rules_see_what_a_reader_of_the_signals_sees() -> None:
    trace = requests(0, 20, 22, 24, 26, service=[12, 100, 100, 100, 100], lanes=[1, 1, 1, 0, 1])
    seen: dict[str, object] = {}

    class Looking:
        name = "looking"

        def wanted(self, view: View) -> float:
            if view.now_seconds == 30:
                seen.update(
                    waiting=view.waiting(),
                    high=view.waiting(0),
                    flight=view.in_flight(),
                    running=list(view.running()),
                    risk=list(view.at_risk_seconds()),
                    oldest=view.oldest_age_seconds(),
                    oldest_high=view.oldest_age_seconds(0),
                    arrived=view.arrived(10),
                    arrived_high=view.arrived(10, 0),
                    completed=view.completed(30),
                    service=view.service(),
                    lanes=tuple(view.lanes),
                    waits=sum(view.waits()),
                    utilization=view.utilization(),
                )
            return 2

    simulate(trace, ONE_BY_ONE, fleet(2), Looking())
    assert seen == {
        "waiting": 2,
        "high": 1,
        "flight": 2,
        "running": [1, 1],
        "risk": [8, 10],
        "oldest": 6,
        "oldest_high": 6,
        "arrived": 3,
        "arrived_high": 1,
        "completed": 1,
        "service": (1, 12, 0),
        "lanes": (0, 1),
        "waits": 3,
        "utilization": pytest.approx((10 + 8) / 30),
    }


def test_what_can_never_start_waits_for_ever() -> None:
    report = simulate(requests(0, 1), ONE_BY_ONE, fleet(0), Static(workers=0))
    assert report.wait_longest_seconds == math.inf
    assert report.left_work_seconds == 20


def test_a_minute_of_counts_becomes_messages_within_that_minute() -> None:
    steps = StepTrace(
        name="s", starts_at_ms=0, step_seconds=60, messages=np.array([3, 0, 2.5, 1000.0])
    )
    trace = steps.as_requests(generator=np.random.default_rng(0))
    counts = trace.in_steps().messages.tolist()
    assert counts[:2] == [3, 0]
    assert counts[2] in {2, 3}
    assert counts[3] == 1000
    assert np.all(np.diff(trace.arrived_seconds) >= 0)


arrivals = st.lists(st.floats(0, 119), max_size=30).map(sorted)
times = st.floats(0.1, 60)


@given(arrived=arrivals, service=times, workers=st.integers(1, 6))
def test_more_workers_let_nobody_wait_longer(
    arrived: list[float], service: float, workers: int
) -> None:
    trace = requests(*arrived, service=service)
    few = waits_of(trace, Static(workers=workers), fleet(workers))
    many = waits_of(trace, Static(workers=workers + 1), fleet(workers + 1))
    assert all(more <= less + 1e-5 for less, more in zip(few, many, strict=True))


@given(
    arrived=arrivals,
    service=st.lists(times, min_size=30, max_size=30),
    failures=st.sampled_from([0, 60]),
    seed=st.integers(0, 5),
)
def test_every_message_is_done_once_or_still_there(
    arrived: list[float], service: list[float], failures: float, seed: int
) -> None:
    trace = requests(*arrived, service=service[: len(arrived)])
    assert trace.service_seconds is not None
    model = fleet(
        2,
        min_workers=1,
        failures_per_worker_hour=failures,
        lease_seconds=10,
        start_up=Durations(mean_seconds=20),
        slots=2,
    )
    run = Messages(
        trace,
        service_seconds=trace.service_seconds,
        model=model,
        generator=np.random.default_rng(seed),
    )
    run.run(QueueDepth(messages_per_worker=2), DirectLoop(model))
    done, running = len(run.history.done_at), len(run._run)
    assert done + running + run.waiting_messages == len(arrived)
    assert sum(run.hands.running.values()) + sum(run.hands.draining.values()) == running
    idle = sorted(run.hands.idle)
    free = [worker for worker, busy in run.hands.running.items() for _ in range(2 - busy)]
    assert idle == sorted(free)
    run.run_out()
    assert not run.waiting_messages


def test_the_same_seed_gives_the_same_report_and_every_fleet_the_same_arrivals() -> None:
    steps = StepTrace(name="s", starts_at_ms=0, step_seconds=60, messages=np.full(30, 100.5))
    workload = Workload(
        kind="messages", service=Durations(mean_seconds=1, squared_variation=4), seed=7
    )
    model = fleet(
        2, failures_per_worker_hour=6, start_up=Durations(mean_seconds=9, squared_variation=1)
    )
    reports = [simulate(steps, workload, model, Static(workers=2)) for _ in range(2)]
    assert reports[0].wait_mean_seconds == reports[1].wait_mean_seconds
    other = simulate(steps, workload, fleet(5), Static(workers=5))
    assert other.messages == reports[0].messages
    assert other.minutes.load == pytest.approx(reports[0].minutes.load)
    reseeded = simulate(steps, replace(workload, seed=8), model, Static(workers=2))
    assert reseeded.wait_mean_seconds != reports[0].wait_mean_seconds


def test_an_outage_of_the_signals_leaves_the_fleet_as_it_is() -> None:
    model = fleet(
        1,
        start_up=Durations(mean_seconds=0),
        outages=(Outage(starts_at_seconds=10, seconds=50),),
    )
    rule = Script((0, 1), (15, 3))
    report = simulate(requests(0), ONE_BY_ONE, model, rule)
    assert report.unread_syncs == 3
    assert report.minutes.workers == pytest.approx([1, 3])
