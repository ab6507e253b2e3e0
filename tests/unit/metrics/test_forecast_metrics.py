from __future__ import annotations

from dataclasses import replace

from prometheus_client import CollectorRegistry

from octoqueue.metrics.scaling_meter import ScalingMeter
from octoqueue.primitives.signals import ArrivalForecast, FleetSnapshot
from octoqueue.scaling.decision import Decision

SKILL, AGE = "octollm_scaling_forecast_skill", "octollm_scaling_forecast_age_seconds"
FORECAST = ArrivalForecast(
    made_at_ms=60_000,
    minutes=(),
    interval=0.9,
    skill_against_now=0.25,
    skill_against_last_week=-0.5,
    scored_minutes=100,
    scored_beside_week=90,
)


class Told:
    """What a meter tells of one fleet, decision by decision."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.meter = ScalingMeter(self.registry)

    def decided(self, forecast: ArrivalForecast | None) -> None:
        decision = Decision(
            fleet="executor", at_ms=90_000, workers=2, is_active=True, steps=(), reason="depth"
        )
        self.meter.decided(
            decision,
            FleetSnapshot(fleet="executor", taken_at_ms=90_000, queues=(), forecast=forecast),
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"component": "executor", **labels})


def test_the_skill_of_the_forecast_that_was_looked_at_is_told_with_its_age() -> None:
    told = Told()
    told.decided(FORECAST)
    assert told.value(SKILL, against="now") == 0.25
    assert told.value(SKILL, against="week") == -0.5
    assert told.value(AGE) == 30


def test_without_a_forecast_no_skill_is_told() -> None:
    told = Told()
    told.decided(None)
    assert told.value(SKILL, against="now") is None
    assert told.value(AGE) is None


def test_a_forecast_that_is_gone_is_not_told_as_if_it_were_there() -> None:
    told = Told()
    told.decided(FORECAST)
    told.decided(None)
    assert told.value(SKILL, against="now") is None
    assert told.value(SKILL, against="week") is None
    assert told.value(AGE) is None


def test_of_signals_that_cannot_be_read_no_forecast_is_told() -> None:
    told = Told()
    told.decided(FORECAST)
    told.meter.unreadable("executor")
    assert told.value(AGE) is None


def test_a_week_that_was_not_compared_with_has_no_skill() -> None:
    told = Told()
    told.decided(replace(FORECAST, skill_against_last_week=0.0, scored_beside_week=0))
    assert told.value(SKILL, against="now") == 0.25
    assert told.value(SKILL, against="week") is None
