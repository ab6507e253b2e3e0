"""What is true of every forecast, whatever was observed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octoqueue.scaling.forecast.forecaster import ArrivalForecaster
from octoqueue.scaling.forecast.state import forecaster_from, state_of

MINUTE = 60_000
START = 29_000_000 * MINUTE

arrivals = st.one_of(
    st.integers(0, 20).map(float),
    st.floats(0, 1e9, allow_nan=False),
    st.sampled_from([0.0, 1e-9, 1e12]),
)
gaps = st.one_of(
    st.just(1), st.integers(1, 200), st.integers(-2000, 20_000), st.sampled_from([10_081, 10**6])
)
histories = st.lists(st.tuples(gaps, arrivals), max_size=80)


def told(history: list[tuple[int, float]]) -> ArrivalForecaster:
    forecaster, minute = ArrivalForecaster(), 0
    for gap, each in history:
        minute += gap
        forecaster.observe(START + minute * MINUTE, each)
    return forecaster


@given(histories, st.integers(-300, 30_000), st.integers(1, 90), st.floats(0.01, 0.999))
@settings(max_examples=150)
def test_a_forecast_is_finite_ordered_and_never_negative(
    history: list[tuple[int, float]], later: int, minutes: int, interval: float
) -> None:
    forecaster = told(history)
    now_ms = START + later * MINUTE
    found = forecaster.forecast(now_ms, minutes, interval=interval)
    if found is None:
        assert not history
        return
    assert len(found.minutes) == minutes
    largest = max(each for _, each in history)
    for i, minute in enumerate(found.minutes):
        assert minute.starts_at_ms == found.minutes[0].starts_at_ms + i * MINUTE
        assert 0 <= minute.low_per_second <= minute.per_second <= minute.high_per_second
        assert minute.high_per_second <= largest * 3 / 60 * (1 + 1e-12)
    assert -1 <= found.skill_against_now <= 1
    assert -1 <= found.skill_against_last_week <= 1
    assert math.isfinite(found.skill_against_now + found.skill_against_last_week)


@given(histories)
@settings(max_examples=60)
def test_what_is_kept_is_the_forecaster(history: list[tuple[int, float]]) -> None:
    forecaster = told(history)
    again = forecaster_from(state_of(forecaster))
    now_ms = (forecaster.last_minute + 1) * MINUTE
    assert again.forecast(now_ms, 5) == forecaster.forecast(now_ms, 5)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=60), st.integers(-10, 10))
@settings(max_examples=60)
def test_twice_the_arrivals_are_twice_the_forecast(history: list[int], power: int) -> None:
    factor = 2.0**power
    plain = told([(1, float(each)) for each in history])
    scaled = told([(1, each * factor) for each in history])
    now_ms = (plain.last_minute + 1) * MINUTE
    one, other = plain.forecast(now_ms, 10), scaled.forecast(now_ms, 10)
    assert one is not None
    assert other is not None
    for few, many in zip(one.minutes, other.minutes, strict=True):
        assert many.per_second == pytest.approx(
            few.per_second * factor, rel=1e-5, abs=1e-9 * factor
        )
        assert many.high_per_second == pytest.approx(
            few.high_per_second * factor, rel=1e-4, abs=1e-9 * factor
        )


@given(st.floats(1e-3, 1e9), st.integers(1, 120))
@settings(max_examples=40)
def test_what_never_changes_is_expected_not_to(level: float, minutes: int) -> None:
    forecaster = told([(1, level)] * minutes)
    found = forecaster.forecast((forecaster.last_minute + 1) * MINUTE, 30)
    assert found is not None
    for minute in found.minutes:
        assert minute.low_per_second * 60 == pytest.approx(level, rel=1e-5)
        assert minute.high_per_second * 60 == pytest.approx(level, rel=1e-5)
