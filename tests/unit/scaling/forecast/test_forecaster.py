from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from octoqueue.scaling.forecast.forecaster import ArrivalForecaster
from octoqueue.scaling.forecast.state import forecaster_from, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from octoqueue.primitives.signals import ArrivalForecast

MINUTE = 60_000
DAY = 1440
WEEK = 7 * DAY
START = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()) * 1000
"""A Monday at midnight."""


def told(
    arrivals: Iterable[float], *, after: ArrivalForecaster | None = None, starts_at_ms: int = START
) -> ArrivalForecaster:
    """A forecaster that was told some minutes in a row."""
    forecaster = after or ArrivalForecaster()
    for i, each in enumerate(arrivals):
        forecaster.observe(starts_at_ms + i * MINUTE, each)
    return forecaster


def now_of(forecaster: ArrivalForecaster) -> int:
    return (forecaster.last_minute + 1) * MINUTE


def forecast_of(forecaster: ArrivalForecaster, minutes: int = 60) -> ArrivalForecast:
    found = forecaster.forecast(now_of(forecaster), minutes)
    assert found is not None
    return found


def expected(forecaster: ArrivalForecaster, minutes: int = 60) -> list[float]:
    """Arrivals expected a minute."""
    return [minute.per_second * 60 for minute in forecast_of(forecaster, minutes).minutes]


def copy(forecaster: ArrivalForecaster) -> ArrivalForecaster:
    return forecaster_from(state_of(forecaster))


def noise(mean: float, minutes: int, seed: int = 1) -> list[float]:
    return [float(each) for each in np.random.default_rng(seed).poisson(mean, minutes)]


def office_hours(minute: int) -> float:
    """Arrivals of a week's minute: weekdays have a peak, weekends have little."""
    day, hour = minute % WEEK // DAY, minute % DAY / 60
    if day >= 5:
        return 40.0
    return 60 + 400 * math.exp(-(((hour - 13) / 3) ** 2))


@cache
def after_a_week() -> bytes:
    generator = np.random.default_rng(7)
    return state_of(told(float(generator.poisson(office_hours(i))) for i in range(WEEK)))


def test_before_the_first_minute_nothing_is_expected() -> None:
    assert ArrivalForecaster().forecast(START, 5) is None


def test_constant_arrivals_are_expected_to_stay() -> None:
    forecaster = told([120.0] * 300)
    found = forecast_of(forecaster)
    for minute in found.minutes:
        assert minute.per_second == pytest.approx(2.0, rel=1e-6)
        assert minute.low_per_second == pytest.approx(2.0, rel=1e-6)
        assert minute.high_per_second == pytest.approx(2.0, rel=1e-6)
    assert found.skill_against_now == 0.0


def test_without_arrivals_none_are_expected() -> None:
    assert expected(told([0.0] * 100)) == [0.0] * 60


def test_the_minutes_begin_with_the_running_one() -> None:
    forecaster = told([5.0] * 10)
    found = forecaster.forecast(START + 10 * MINUTE + 12_345, 3)
    assert found is not None
    assert found.made_at_ms == START + 10 * MINUTE + 12_345
    assert [minute.starts_at_ms for minute in found.minutes] == [
        START + i * MINUTE for i in (10, 11, 12)
    ]


@pytest.mark.parametrize("factor", [0.01, 3.0, 1e6])
def test_so_many_times_the_arrivals_are_so_many_times_the_forecast(factor: float) -> None:
    arrivals = noise(50, 400)
    plain = expected(told(arrivals))
    scaled = expected(told(each * factor for each in arrivals))
    assert scaled == pytest.approx([each * factor for each in plain], rel=1e-5)


def test_one_odd_minute_moves_little() -> None:
    usual = told(noise(100, 600))
    before = expected(usual, 5)
    after = expected(told([10_000.0], after=usual, starts_at_ms=now_of(usual)), 5)
    assert after == pytest.approx(before, rel=0.3)


@pytest.mark.parametrize("level", [500.0, 20.0])
def test_a_step_is_followed_within_five_minutes(level: float) -> None:
    usual = told(noise(100, 600))
    stepped = told(noise(level, 5, seed=3), after=usual, starts_at_ms=now_of(usual))
    assert expected(stepped, 5) == pytest.approx([level] * 5, rel=0.25)


def test_after_a_step_back_a_scaled_fleet_is_not_kept_waiting() -> None:
    usual = told([*noise(100, 600), *noise(1000, 60, seed=2), *noise(100, 8, seed=3)])
    assert max(expected(usual, 5)) < 160


def test_the_interval_holds_as_often_as_it_says() -> None:
    forecaster, inside, scored = ArrivalForecaster(), np.zeros(3), 0
    for i, each in enumerate(noise(80, 3000)):
        if i > 1000:
            scored += 1
            found = forecaster.forecast(START + i * MINUTE, 1, interval=0.9)
            assert found is not None
            (minute,) = found.minutes
            low, high = minute.low_per_second * 60, minute.high_per_second * 60
            inside += (low <= each <= high, each < low, each > high)
        forecaster.observe(START + i * MINUTE, each)
    assert inside / scored == pytest.approx([0.9, 0.05, 0.05], abs=0.025)


def test_a_daily_wave_is_foreseen_better_than_by_what_is_now() -> None:
    generator = np.random.default_rng(4)
    wave = [generator.poisson(200 + 150 * math.sin(i / DAY * 2 * math.pi)) for i in range(4 * DAY)]
    forecaster = told(float(each) for each in wave)
    found = forecaster.forecast(now_of(forecaster), 60, lead_minutes=30)
    assert found is not None
    assert found.skill_against_now > 0.3
    assert found.scored_minutes > 3 * DAY


def test_what_nobody_can_foresee_gives_no_skill() -> None:
    steps = np.random.default_rng(5).normal(0, 0.05, 6000)
    forecaster = told(float(each) for each in 1000 * np.exp(np.cumsum(steps) - steps[0]))
    assert forecast_of(forecaster).skill_against_now < 0.03


def test_the_same_minute_of_last_week_is_what_a_week_is_compared_with() -> None:
    forecaster = forecaster_from(after_a_week())
    until(forecaster, WEEK + DAY, office_hours)
    found = forecast_of(forecaster)
    assert 0 < found.skill_against_last_week < 1
    assert 500 < found.scored_beside_week < DAY
    young = forecast_of(told(noise(50, 300)))
    assert (young.skill_against_last_week, young.scored_beside_week) == (0.0, 0)


# ── the shape of weeks ───────────────────────────────────────────────────────────────────────────


def until(forecaster: ArrivalForecaster, end: int, arrivals: Callable[[int], float]) -> None:
    """Tell all minutes before the `end`-th."""
    generator = np.random.default_rng(end)
    for i in range(forecaster.last_minute + 1 - START // MINUTE, end):
        forecaster.observe(START + i * MINUTE, float(generator.poisson(arrivals(i))))


def error(forecaster: ArrivalForecaster) -> float:
    """The error of the coming hour's forecast, as a share of what usually comes."""
    first = forecaster.last_minute + 1 - START // MINUTE
    coming = np.array([office_hours(i) for i in range(first, first + 60)])
    return float(np.abs(expected(forecaster) - coming).sum() / coming.sum())


def test_the_rise_of_a_weekdays_morning_is_foreseen_after_a_weekend() -> None:
    forecaster = forecaster_from(after_a_week())
    until(forecaster, WEEK + 9 * 60 + 30, office_hours)
    assert error(forecaster) < 0.2


def test_a_holiday_is_followed_by_level_and_makes_no_other_one_a_week_later() -> None:
    wednesday = WEEK + 2 * DAY

    def arrivals(minute: int) -> float:
        return 40.0 if wednesday <= minute < wednesday + DAY else office_hours(minute)

    forecaster = forecaster_from(after_a_week())
    until(forecaster, wednesday + 12 * 60, arrivals)
    assert expected(forecaster, 10) == pytest.approx([40.0] * 10, rel=0.2)
    until(forecaster, wednesday + WEEK + 9 * 60 + 30, arrivals)
    assert error(forecaster) < 0.12


def test_summer_time_moves_the_shape_of_a_day_with_the_clocks_of_people() -> None:
    change = int(datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp()) // 60
    """Clocks in Berlin are set back then."""
    first = change - 3 * DAY

    def arrivals(minute: int) -> float:
        local = (minute + (120 if minute < change else 60)) % DAY
        return 500.0 if 9 * 60 <= local < 17 * 60 else 50.0

    def hour_ahead(zone: str) -> float:
        forecaster = ArrivalForecaster(zone=zone)
        nine = change - 60 + 2 * DAY + 8 * 60  # two days later, in winter time
        for minute in range(first, nine - 30):
            forecaster.observe(minute * MINUTE, arrivals(minute))
        assert arrivals(nine) == 500.0
        assert arrivals(nine - 1) == 50.0
        return expected(forecaster)[50]

    assert hour_ahead("Europe/Berlin") > 300


# ── minutes that are missing, and clocks that are wrong ──────────────────────────────────────────


def test_minutes_that_are_missing_are_not_zeros() -> None:
    forecaster = told(noise(100, 600))
    before = expected(forecaster, 5)
    later = now_of(forecaster) + 180 * MINUTE
    found = forecaster.forecast(later, 5)
    assert found is not None
    assert [each.per_second * 60 for each in found.minutes] == pytest.approx(before, rel=0.25)
    told(noise(100, 5, seed=9), after=forecaster, starts_at_ms=later)
    assert expected(forecaster, 5) == pytest.approx([100.0] * 5, rel=0.2)


def test_after_a_gap_the_level_is_that_of_now() -> None:
    forecaster = told(noise(100, 600))
    told([900.0, 880.0], after=forecaster, starts_at_ms=now_of(forecaster) + 60 * MINUTE)
    assert expected(forecaster, 3) == pytest.approx([890.0] * 3, rel=0.15)


def test_a_minute_told_twice_counts_once() -> None:
    forecaster = told([10.0, 20.0])
    assert not forecaster.observe(START + MINUTE, 500.0)
    assert not forecaster.observe(START, 500.0)
    assert expected(forecaster) == expected(told([10.0, 20.0]))


def test_a_clock_that_was_a_day_ahead_is_forgotten_when_it_is_set_back() -> None:
    forecaster = told(noise(100, 600))
    when = now_of(forecaster)
    told(noise(100, 10, seed=2), after=forecaster, starts_at_ms=when + DAY * MINUTE)
    assert forecaster.observe(when, 100.0)
    assert forecaster.last_minute == when // MINUTE
    assert expected(forecaster, 5) == pytest.approx([100.0] * 5, rel=0.2)


def test_a_forecast_asked_for_in_the_past_is_of_the_minutes_after_the_newest() -> None:
    forecaster = told([7.0] * 30)
    found = forecaster.forecast(START - WEEK * MINUTE, 2)
    assert found is not None
    assert found.minutes[0].starts_at_ms == now_of(forecaster)


@pytest.mark.parametrize("arrivals", [-1.0, math.nan, math.inf])
def test_arrivals_that_are_none_are_refused(arrivals: float) -> None:
    with pytest.raises(ValueError, match="arrivals: "):
        ArrivalForecaster().observe(START, arrivals)
