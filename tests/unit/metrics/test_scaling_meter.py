from __future__ import annotations

import math
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from octoqueue.metrics.scaling_meter import ScalingMeter
from octoqueue.primitives.signals import FleetSnapshot, Presence
from octoqueue.scaling.decision import Decision
from octoqueue.scaling.wishes import Lead

WORKER = Presence(
    session="s",
    name="w",
    fleet="executor",
    queues=("executor",),
    slots=1,
    running=0,
    started_at_ms=0,
    ready_at_ms=0,
    said_at_ms=0,
)


def decision(workers: int) -> Decision:
    return Decision(
        fleet="executor", at_ms=0, workers=workers, is_active=True, steps=(), reason="for a test"
    )


def snapshot(*workers: Presence) -> FleetSnapshot:
    return FleetSnapshot(fleet="executor", taken_at_ms=0, queues=(), workers=workers)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def meter(registry: CollectorRegistry) -> ScalingMeter:
    return ScalingMeter(registry)


@pytest.mark.parametrize(("wanted", "direction"), [(3, "up"), (2, "none"), (1, "down")])
def test_the_direction_is_against_the_workers_there_are(
    registry: CollectorRegistry, meter: ScalingMeter, wanted: int, direction: str
) -> None:
    meter.decided(decision(wanted), snapshot(WORKER, WORKER))
    labels = {"component": "executor", "direction": direction}
    assert registry.get_sample_value("octollm_scaling_decision_total", labels) == 1
    of_executor = {"component": "executor"}
    assert registry.get_sample_value("octollm_pod_replicas", of_executor) == 2
    assert registry.get_sample_value("octollm_scaling_wanted_workers", of_executor) == wanted


def test_workers_of_other_fleets_are_not_this_fleets_replicas(
    registry: CollectorRegistry, meter: ScalingMeter
) -> None:
    meter.decided(decision(2), snapshot(WORKER, replace(WORKER, fleet="coder")))
    assert registry.get_sample_value("octollm_pod_replicas", {"component": "executor"}) == 1


def test_the_lag_is_counted_in_the_buckets_of_the_guide(
    registry: CollectorRegistry, meter: ScalingMeter
) -> None:
    for seconds in (5.0, 45.0, 400.0):
        meter.came_true("executor", Lead(2, 0, seconds))
    for bound, count in (("10.0", 1), ("60.0", 2), ("300.0", 2), ("+Inf", 3)):
        labels = {"component": "executor", "le": bound}
        assert registry.get_sample_value("octollm_scaling_lag_seconds_bucket", labels) == count


def test_a_number_that_cannot_be_read_is_none(
    registry: CollectorRegistry, meter: ScalingMeter
) -> None:
    of_executor = {"component": "executor"}
    meter.decided(decision(2), snapshot(WORKER))
    meter.held(decision(2))
    assert registry.get_sample_value("octollm_scaling_wanted_workers", of_executor) == 2
    meter.unreadable("executor")
    told = registry.get_sample_value("octollm_scaling_wanted_workers", of_executor)
    assert told is not None
    assert math.isnan(told)
    for outcome in ("read", "held", "unreadable"):
        labels = {**of_executor, "outcome": outcome}
        assert registry.get_sample_value("octollm_scaling_reading_total", labels) == 1
