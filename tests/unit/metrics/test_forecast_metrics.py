from __future__ import annotations

from prometheus_client import CollectorRegistry

from octoqueue.metrics.scaling_meter import ScalingMeter
from octoqueue.primitives.signals import ArrivalForecast, FleetSnapshot
from octoqueue.scaling.decision import Decision


def told(forecast: ArrivalForecast | None) -> CollectorRegistry:
    registry = CollectorRegistry()
    decision = Decision(
        fleet="executor", at_ms=90_000, workers=2, is_active=True, steps=(), reason="depth"
    )
    snapshot = FleetSnapshot(fleet="executor", taken_at_ms=90_000, queues=(), forecast=forecast)
    ScalingMeter(registry).decided(decision, snapshot)
    return registry


def test_the_skill_of_the_forecast_that_was_looked_at_is_told_with_its_age() -> None:
    forecast = ArrivalForecast(
        made_at_ms=60_000,
        minutes=(),
        interval=0.9,
        skill_against_now=0.25,
        skill_against_last_week=-0.5,
        scored_minutes=100,
    )
    registry = told(forecast)
    skill, component = "octollm_scaling_forecast_skill", {"component": "executor"}
    assert registry.get_sample_value(skill, component | {"against": "now"}) == 0.25
    assert registry.get_sample_value(skill, component | {"against": "week"}) == -0.5
    assert registry.get_sample_value("octollm_scaling_forecast_age_seconds", component) == 30


def test_without_a_forecast_no_skill_is_told() -> None:
    names = {sample.name for metric in told(None).collect() for sample in metric.samples}
    assert "octollm_scaling_forecast_skill" not in names
