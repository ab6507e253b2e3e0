from __future__ import annotations

from datetime import timedelta

from prometheus_client import CollectorRegistry

from octoqueue.testing.fake_clock import FakeClock
from scalers.keda.meter import CallMeter


def age(registry: CollectorRegistry, name: str) -> float | None:
    labels = {"namespace": "octo", "name": name}
    return registry.get_sample_value("octollm_scaler_last_call_age_seconds", labels)


def test_who_has_stopped_calling_grows_old_and_is_forgotten_after_a_day() -> None:
    clock, registry = FakeClock(), CollectorRegistry()
    meter = CallMeter(registry, clock=clock)
    meter.began("octo", "executor")
    clock.advance(timedelta(minutes=5))
    meter.began("octo", "judge")
    assert (age(registry, "executor"), age(registry, "judge")) == (300, 0)
    clock.advance(timedelta(days=1))
    assert (age(registry, "executor"), age(registry, "judge")) == (None, 86_400)


def test_a_call_is_counted_with_its_time_and_its_end() -> None:
    clock, registry = FakeClock(), CollectorRegistry()
    meter = CallMeter(registry, clock=clock)
    began = meter.began("octo", "executor")
    clock.advance(250)
    meter.ended("GetMetrics", "UNAVAILABLE", began)
    ended = {"method": "GetMetrics", "code": "UNAVAILABLE"}
    assert registry.get_sample_value("octollm_scaler_call_total", ended) == 1
    took = {"method": "GetMetrics"}
    assert registry.get_sample_value("octollm_scaler_call_seconds_sum", took) == 0.25
