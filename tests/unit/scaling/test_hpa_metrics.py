"""What one metric proposes, worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import pytest

from octoqueue.scaling.behavior import KUBERNETES_DEFAULT
from octoqueue.scaling.hpa_metrics import (
    MOST_REPLICAS,
    Tolerances,
    average_value_proposal,
    milli,
    tolerances_of,
    value_proposal,
)
from octoqueue.scaling.hpa_pods import Pod, grouped, pods_proposal, utilization_proposal

TENTH = Tolerances()


def average(*values: float, target: float, pods: int, tolerances: Tolerances = TENTH) -> int | None:
    return average_value_proposal(
        "m", values=values, target=target, status_replicas=pods, tolerances=tolerances
    ).replicas


def value(*values: float, target: float, ready: int | None, spec: int) -> int | None:
    return value_proposal(
        "m",
        values=values,
        target=target,
        spec_replicas=spec,
        ready_pods=ready,
        tolerances=TENTH,
    ).replicas


# ── AverageValue ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("total", "expected"),
    [(17.9, 18), (18, 20), (20, 20), (22, 20), (22.001, 23), (0, 0), (400, 400)],
)
def test_within_a_tenth_of_the_target_nothing_changes(total: float, expected: int) -> None:
    assert average(total, target=1, pods=20) == expected


def test_each_direction_has_its_tolerance() -> None:
    uneven = Tolerances(up=0.0, down=0.3)
    assert average(21, target=1, pods=20, tolerances=uneven) == 21
    assert average(14, target=1, pods=20, tolerances=uneven) == 20
    assert average(13.9, target=1, pods=20, tolerances=uneven) == 14
    assert tolerances_of(KUBERNETES_DEFAULT) == tolerances_of(None) == TENTH


def test_all_values_of_a_metric_are_added() -> None:
    assert average(10, 20, 5, target=5, pods=1) == 7


def test_pods_that_start_do_not_lower_the_proposal() -> None:
    assert average(100, target=5, pods=3) == average(100, target=5, pods=9) == 20


def test_without_a_pod_the_tolerance_means_nothing() -> None:
    assert average(3, target=1, pods=0) == 3
    assert average(0, target=1, pods=0) == 0


def test_amounts_count_to_the_thousandth() -> None:
    assert average(10.0004, target=5, pods=1) == 2
    assert average(10.001, target=5, pods=1) == 3
    assert average(1, target=0.0001, pods=1) is None
    assert [milli(bad) for bad in (math.nan, math.inf, -1.0)] == [0, 0, 0]


def test_nobody_counts_further_than_an_int32() -> None:
    assert average(1e18, target=0.001, pods=1) == MOST_REPLICAS


# ── Value ────────────────────────────────────────────────────────────────────────────────────────


def test_a_value_multiplies_the_ready_pods() -> None:
    assert value(60, target=20, ready=2, spec=5) == 6
    assert value(60, target=20, ready=0, spec=5) == 0
    assert value(21, target=20, ready=2, spec=5) == 5
    assert value(60, target=20, ready=None, spec=5) is None
    assert value(50, target=20, ready=None, spec=0) == 3


# ── cpu, memory and numbers of each pod ──────────────────────────────────────────────────────────

NOW = 10_000.0


def pod(
    name: str, usage: int | None, *, ready: bool = True, request: int | None = 1_000
) -> Pod:  # fmt: skip
    return Pod(
        name=name,
        usage_milli=usage,
        request_milli=request,
        started_at=NOW - 3_600,
        is_ready=ready,
        ready_changed_at=NOW - 3_590,
        measured_at=NOW - 5,
    )


class CpuCase(NamedTuple):
    says: str
    usages: list[int | None]
    ready: list[bool]
    target: int
    expected: int | None


# As in the controller's own `replica_calculator_test.go`, under the same names.
CPU = [
    CpuCase("ScaleUp", [300, 500, 700], [True] * 3, 30, 5),
    CpuCase("ScaleUpUnreadyLessScale", [300, 500, 700], [False, True, True], 30, 4),
    CpuCase("ScaleUpUnreadyNoScale", [400, 500, 700], [True, False, False], 40, 3),
    CpuCase("ScaleDown", [100, 300, 500, 250, 250], [True] * 5, 50, 3),
    CpuCase("Tolerance", [1010, 1030, 1020], [True] * 3, 100, 3),
    CpuCase("MissingMetricsNoChangeEq", [1000, None], [True] * 2, 100, 2),
    CpuCase("MissingMetricsNoChangeGt", [1900, None], [True] * 2, 100, 2),
    CpuCase("MissingMetricsNoChangeLt", [600, None], [True] * 2, 100, 2),
    CpuCase("nothing measured", [None, None], [True] * 2, 50, None),
    CpuCase("per cent are cut off", [779, 779], [True] * 2, 70, 2),
    CpuCase("and so are those above", [780, 780], [True] * 2, 70, 3),
]


@pytest.mark.parametrize("case", CPU, ids=lambda case: case.says)
def test_cpu(case: CpuCase) -> None:
    pods = [
        pod(f"p{index}", usage, ready=ready)
        for index, (usage, ready) in enumerate(zip(case.usages, case.ready, strict=True))
    ]
    got = utilization_proposal(
        "cpu",
        pods=pods,
        target_percent=case.target,
        spec_replicas=len(pods),
        tolerances=TENTH,
        now=NOW,
    )
    assert got.replicas == case.expected


def test_unready_pods_count_for_memory() -> None:
    pods = [pod("a", 500, ready=False), pod("b", 900)]
    got = utilization_proposal(
        "memory", pods=pods, target_percent=50, spec_replicas=2, tolerances=TENTH, now=NOW
    )
    assert got.replicas == 3


def test_a_pod_without_a_request_makes_the_metric_unreadable() -> None:
    got = utilization_proposal(
        "cpu",
        pods=[pod("a", 500), pod("b", 500, request=None)],
        target_percent=50,
        spec_replicas=2,
        tolerances=TENTH,
        now=NOW,
    )
    assert got.replicas is None
    assert "pod b requests none" in got.reason


def test_pods_are_grouped_by_what_their_measurements_are_worth() -> None:
    fresh = Pod(
        name="fresh",
        usage_milli=1,
        is_ready=True,
        started_at=NOW - 100,
        ready_changed_at=NOW - 90,
        measured_at=NOW,
    )
    pods = [
        Pod(name="gone", is_deleted=True),
        Pod(name="failed", phase="Failed"),
        Pod(name="pending", phase="Pending"),
        Pod(name="unmeasured", is_ready=True, started_at=0.0),
        Pod(name="silent", usage_milli=1),
        fresh,
        replace(fresh, name="too early", measured_at=NOW - 80),
        replace(fresh, name="unready", is_ready=False),
        Pod(name="never ready", usage_milli=1, is_ready=False, started_at=0.0),
        Pod(
            name="lately unready",
            usage_milli=1,
            is_ready=False,
            started_at=0.0,
            ready_changed_at=NOW - 60,
        ),
    ]
    groups = grouped(pods, is_cpu=True, now=NOW)
    assert groups.ignored == {"gone", "failed"}
    assert groups.missing == {"unmeasured"}
    assert groups.unready == {"pending", "silent", "too early", "unready", "never ready"}
    assert groups.ready == {"fresh", "lately unready"}


def test_a_number_of_each_pod() -> None:
    def proposed(usages: list[int | None], target: int) -> int | None:
        pods = [pod(f"p{index}", usage) for index, usage in enumerate(usages)]
        return pods_proposal(
            "rps",
            pods=pods,
            target_milli=target,
            spec_replicas=len(pods),
            tolerances=TENTH,
            now=NOW,
        ).replicas

    assert proposed([20_000, 10_000, 30_000], 15_000) == 4
    assert proposed([12_000, 12_000, 12_000, 12_000, 12_000], 20_000) == 3
    assert proposed([20_000, None], 20_000) == 2
    assert proposed([8_000, None], 20_000) == 2
    assert proposed([90_000, None], 20_000) == 5
    assert proposed([], 1) is None
