"""The fluid model: cases worked out by hand, and laws."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.scaling.simulator.fleets import Durations, FleetModel, Outage, Workload
from octoqueue.scaling.simulator.flow import Flow
from octoqueue.scaling.simulator.rules import (
    Clairvoyant,
    CpuUtilization,
    QueueDepth,
    Static,
    TrailingMaximum,
)
from octoqueue.scaling.simulator.simulating import simulate
from octoqueue.scaling.simulator.traces import StepTrace

if TYPE_CHECKING:
    from octoqueue.scaling.simulator.report import Minutes, Report
    from octoqueue.scaling.simulator.views import Rule

ONE_SECOND = Workload(service=Durations(mean_seconds=1))


def trace_of(*loads: float, step_seconds: float = 60.0) -> StepTrace:
    """Messages of one second that keep so many workers busy in each step."""
    return StepTrace(
        name="t",
        starts_at_ms=0,
        step_seconds=step_seconds,
        messages=np.array(loads, dtype=np.float64) * step_seconds,
    )


def fleet(workers: int | None = None, *, start_up: float = 60, **others: Any) -> FleetModel:  # noqa: ANN401 - any of its fields
    model = FleetModel(start_up=Durations(mean_seconds=start_up), initial_workers=workers)
    return replace(model, **others)


def run(trace: StepTrace, rule: Rule, model: FleetModel, *, objective: float = 5) -> Report:
    return simulate(trace, ONE_SECOND, model, rule, objective_seconds=objective)


def test_work_beyond_the_capacity_of_a_minute_waits_until_it_is_done() -> None:
    # 3 workers of work for a minute on 2: 60 s of work are left, done in 30 s by 2 workers.
    report = run(trace_of(3, 0, 0), Static(workers=2), fleet(2))
    assert report.wait_longest_seconds == pytest.approx(30)
    # The wait grows evenly from 0 to 30 s, so a sixth of the work waits 5 s at most.
    assert report.work_within == pytest.approx(1 / 6)
    assert report.wait_p50_seconds == pytest.approx(15)
    assert report.wait_p95_seconds == pytest.approx(28.5)
    assert report.attainment == 0
    assert report.worker_hours == pytest.approx(2 * 3 / 60)
    assert report.clairvoyant_hours == pytest.approx((4 + 1 + 1) / 60)
    assert report.left_work_seconds == 0


def test_a_minute_is_met_when_all_of_its_work_waits_no_longer_than_the_objective() -> None:
    # 10 s of work are left after the first minute: 5 s for two workers.
    trace = trace_of(2 + 1 / 6, 0, 2)
    assert run(trace, Static(workers=2), fleet(2), objective=5).attainment == 1
    assert run(trace, Static(workers=2), fleet(2), objective=4.99).attainment == 0.5


def test_minutes_in_which_nothing_arrives_are_not_counted() -> None:
    report = run(trace_of(3, 0, 0, 0), Static(workers=2), fleet(2))
    assert report.attainment == 0
    assert math.isnan(report.minutes.longest_wait_seconds[1])
    assert report.longest_violation_minutes == 1


def test_a_backlog_is_carried_into_the_next_minute() -> None:
    # 60 s of work are left and the next minute brings as much as there is capacity for.
    report = run(trace_of(3, 2, 0), Static(workers=2), fleet(2))
    assert report.minutes.longest_wait_seconds[:2] == pytest.approx([30, 30])
    assert report.longest_violation_minutes == 2


class Stairs:
    """Wants more from a moment on."""

    name = "stairs"

    def __init__(self, first: int, then: int, *, after: float) -> None:
        self._first, self._then, self._after = first, then, after

    def wanted(self, view: object) -> float:
        now: float = view.now_seconds  # type: ignore[attr-defined]
        return self._then if now >= self._after else self._first


def test_a_worker_takes_work_when_it_is_ready_and_is_paid_from_when_it_is_asked_for() -> None:
    # 1 worker for a load of 2, the second asked for at 15 s and ready at 45 s: then 45 s of work
    # wait, and no more are added. The last of them, and all that comes then, waits 22.5 s.
    report = run(trace_of(2, 2, 0), Stairs(1, 2, after=15), fleet(1, start_up=30))
    assert report.wait_longest_seconds == pytest.approx(22.5)
    assert report.worker_hours == pytest.approx((180 + 165) / 3600)


def test_a_worker_that_still_starts_is_the_first_to_be_let_go() -> None:
    class UpAndDown:
        name = "up and down"

        def wanted(self, view: object) -> float:
            return 2 if 15 <= view.now_seconds < 30 else 1  # type: ignore[attr-defined]

    report = run(trace_of(1, 1), UpAndDown(), fleet(1, start_up=60))
    assert report.worker_hours == pytest.approx((120 + 15) / 3600)
    assert report.wait_longest_seconds == 0
    assert report.direction_changes_per_hour == pytest.approx(1 / (2 / 60))


def test_work_that_nobody_ever_does_waits_for_ever() -> None:
    report = run(trace_of(1, 1), Static(workers=0), fleet(0, min_workers=0))
    assert report.wait_longest_seconds == math.inf
    assert report.wait_p50_seconds == math.inf
    assert report.attainment == 0
    assert report.left_work_seconds == pytest.approx(120)


def test_what_waits_at_the_end_is_done_by_the_fleet_as_it_is() -> None:
    report = run(trace_of(3), Static(workers=2), fleet(2))
    assert report.left_work_seconds == pytest.approx(60)
    assert report.wait_longest_seconds == pytest.approx(30)
    assert report.wait_mean_seconds == pytest.approx(15)


def test_slots_of_a_worker_work_side_by_side() -> None:
    report = run(trace_of(8, 8), Static(workers=2), fleet(2, slots=4))
    assert report.wait_longest_seconds == 0
    assert report.minutes.load == pytest.approx([2, 2])


def test_the_clairvoyant_fleet_meets_all_at_a_ratio_of_one() -> None:
    trace = trace_of(3, 10.5, 0, 2)
    rule = Clairvoyant(trace, service_seconds=1)
    report = run(trace, rule, fleet(start_up=0))
    assert report.attainment == 1
    assert report.hours_ratio == pytest.approx(1)
    assert report.minutes.clairvoyant_workers == pytest.approx([4, 12, 1, 3])


def test_the_trailing_maximum_follows_the_largest_of_the_last_minutes() -> None:
    rule = TrailingMaximum(minutes=2, headroom=1, spare_workers=0)
    report = run(trace_of(1, 4, 1, 1, 1), rule, fleet(5, start_up=0, sync_seconds=60))
    assert report.minutes.workers == pytest.approx([1, 1, 4, 4, 1])


def test_cpu_utilization_is_that_of_the_time_since_the_last_decision() -> None:
    report = run(trace_of(2, 2, 2), CpuUtilization(target=0.5), fleet(4, start_up=0))
    assert report.minutes.workers == pytest.approx([4, 4, 4])


def test_depth_counts_what_waits_and_what_runs() -> None:
    # 2 workers, 3 of load: after 15 s 15 messages wait and 2 run.
    rule = QueueDepth(messages_per_worker=1)
    report = run(trace_of(3, 3), rule, fleet(2, start_up=1000, min_workers=2))
    assert report.minutes.workers[0] == pytest.approx((2 * 15 + 17 * 15 + 32 * 15 + 47 * 15) / 60)


def test_a_step_that_only_begins_is_not_seen_by_any_rule() -> None:
    # At its edge nothing tells of the second minute yet, so the fleet is as large as for the first.
    report = run(trace_of(9, 3, 3), QueueDepth(messages_per_worker=1), fleet(9, sync_seconds=60))
    assert report.minutes.workers == pytest.approx([9, 9, 3])


def test_nothing_is_decided_while_nothing_can_be_read() -> None:
    model = fleet(1, start_up=0, outages=(Outage(starts_at_seconds=15, seconds=45),))
    report = run(trace_of(1, 1), Stairs(1, 5, after=15), model)
    assert report.minutes.workers == pytest.approx([1, 5])
    assert report.unread_syncs == 3


def test_a_worker_that_dies_is_replaced_and_its_work_is_done_again() -> None:
    model = fleet(5, start_up=30, failures_per_worker_hour=10, lease_seconds=20)
    report = run(trace_of(*[4] * 60), Static(workers=5), model)
    calm = run(trace_of(*[4] * 60), Static(workers=5), fleet(5))
    assert report.redone_messages > 10
    assert report.wait_mean_seconds > calm.wait_mean_seconds == 0
    assert report.worker_hours == pytest.approx(5)


loads = st.lists(st.floats(0, 20), min_size=1, max_size=12)
sizes = st.integers(1, 20)


@given(loads=loads, workers=sizes)
def test_more_workers_never_wait_longer(loads: list[float], workers: int) -> None:
    few = run(trace_of(*loads), Static(workers=workers), fleet(workers)).minutes
    many = run(trace_of(*loads), Static(workers=workers + 1), fleet(workers + 1)).minutes
    pairs = zip(few.longest_wait_seconds, many.longest_wait_seconds, strict=True)
    assert all(more <= less + 1e-6 for less, more in pairs if not math.isnan(less))


@given(loads=loads, workers=sizes, cuts=st.integers(2, 5))
def test_cutting_steps_changes_no_number(loads: list[float], workers: int, cuts: int) -> None:
    rule = QueueDepth(messages_per_worker=2)
    whole = run(trace_of(*loads), rule, fleet(workers, start_up=20))
    cut_loads = [load for load in loads for _ in range(cuts)]
    cut = run(trace_of(*cut_loads, step_seconds=60 / cuts), rule, fleet(workers, start_up=20))
    assert cut.worker_hours == pytest.approx(whole.worker_hours, rel=1e-6)
    assert cut.wait_longest_seconds == pytest.approx(whole.wait_longest_seconds, abs=1e-5)
    assert cut.wait_mean_seconds == pytest.approx(whole.wait_mean_seconds, abs=1e-5)


@given(loads=loads, workers=sizes)
def test_what_comes_in_is_done_or_left(loads: list[float], workers: int) -> None:
    report = run(trace_of(*loads), Static(workers=workers), fleet(workers))
    backlog = 0.0
    for load in loads:  # the recursion of a textbook, a minute a step
        backlog = max(0.0, backlog + (load - workers) * 60)
    assert report.left_work_seconds == pytest.approx(backlog, abs=1e-6)
    assert report.messages == pytest.approx(sum(loads) * 60)


@given(loads=loads, workers=sizes)
def test_the_wait_of_a_minutes_last_work_is_the_backlog_over_the_capacity(
    loads: list[float], workers: int
) -> None:
    minutes: Minutes = run(trace_of(*loads), Static(workers=workers), fleet(workers)).minutes
    backlog = 0.0
    for load, longest in zip(loads, minutes.longest_wait_seconds, strict=True):
        before = backlog
        backlog = max(0.0, backlog + (load - workers) * 60)
        if load > 1e-6:
            assert longest == pytest.approx(max(before, backlog) / workers, abs=1e-5)


def test_the_same_seed_gives_the_same_report() -> None:
    model = fleet(3, failures_per_worker_hour=5, start_up=30)
    trace = trace_of(*[2.5] * 30)
    first, again, other = (
        simulate(trace, Workload(service=Durations(mean_seconds=1), seed=seed), model, rule)
        for seed, rule in ((1, Static(workers=4)), (1, Static(workers=4)), (2, Static(workers=4)))
    )
    assert first.wait_mean_seconds == again.wait_mean_seconds != other.wait_mean_seconds


def test_what_waits_after_weeks_and_takes_less_than_the_clock_can_tell_is_done_at_once() -> None:
    flow = Flow(
        trace_of(1.0),
        service=ONE_SECOND.service,
        model=fleet(5),
        generator=np.random.default_rng(0),
    )
    flow.now_seconds, flow._waiting = 3_810_600.0, 1.1e-9
    flow.run_out()
    assert flow.waiting_work == 0
    assert flow.done_log()[1][-1] == flow.arrived_work[-1]
