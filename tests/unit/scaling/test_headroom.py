"""How much of a forecast to be ready for: cautious where misses are dear, and led by the minute."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.primitives.signals import ArrivalForecast, ExpectedArrivals
from octoqueue.scaling.headroom import rate_to_be_ready_for
from octoqueue.scaling.load import Load, Service
from octoqueue.scaling.policy import ForecastUse

MINUTE_MS = 60_000
AT_MS = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS
NORMAL_TAIL = ((0.5, 0.0), (0.1, 1.28), (0.01, 2.33), (0.001, 3.09))


def load(per_second: float, *, lately: float | None = None, lead_seconds: float = 60.0) -> Load:
    return Load(
        waiting=(0.0,) * 4,
        per_second=(0.0, per_second, 0.0, 0.0),
        due_soon=0.0,
        in_flight=0.0,
        requests_per_second=0.0,
        service=Service(mean_seconds=1.0),
        ready_workers=1,
        ready_slots=1,
        lead_seconds=lead_seconds,
        lead_is_measured=True,
        arrived_lately=10 * per_second if lately is None else 10 * lately,
    )


def forecast(
    *per_second: float, spread: float = 0.1, highest: float = 0.0, follows: float = 0.5
) -> ArrivalForecast:
    return ArrivalForecast(
        made_at_ms=AT_MS,
        minutes=tuple(
            ExpectedArrivals(
                starts_at_ms=AT_MS + i * MINUTE_MS,
                per_second=rate,
                low_per_second=rate,
                high_per_second=rate,
                follows=1.0 if i == 0 else follows,
                spread=spread,
            )
            for i, rate in enumerate(per_second)
        ),
        interval=0.9,
        skill_against_now=0.5,
        skill_against_last_week=0.5,
        scored_minutes=1_000,
        tail=NORMAL_TAIL,
        highest_per_second=highest,
    )


def ready(
    given: ArrivalForecast,
    now: Load,
    *,
    use: ForecastUse | None = None,
    seconds: float = 30.0,
    workers_per_rate: float = 1.0,
) -> float:
    found = rate_to_be_ready_for(
        given,
        use or ForecastUse(),
        now,
        now_ms=AT_MS + round(seconds * 1000),
        workers_per_rate=workers_per_rate,
    )
    assert found is not None
    return found


def test_a_more_cautious_quantile_is_ready_for_more() -> None:
    given = forecast(100, 100, 100)
    rates = [ready(given, load(100), use=ForecastUse(quantile=q)) for q in (0.5, 0.9, 0.99)]
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(100, rel=0.01)
    assert rates[2] == pytest.approx(100 * 2.718 ** (2.33 * 0.1), rel=0.01)


def test_a_miss_that_costs_more_is_avoided_with_more_workers() -> None:
    given = forecast(100, 100, 100)
    rates = [
        ready(given, load(100), use=ForecastUse(missed_minute_costs=price))
        for price in (10.0, 50.0, 500.0)
    ]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]


def test_at_one_price_more_is_missed_where_avoiding_it_takes_more_workers() -> None:
    use = ForecastUse(missed_minute_costs=100.0)
    given = forecast(100, 100, 100)
    few = ready(given, load(100), use=use, workers_per_rate=0.01)
    many = ready(given, load(100), use=use, workers_per_rate=1.0)
    assert many < few


def test_a_running_minute_that_brings_more_raises_those_to_come() -> None:
    given = forecast(100, 100, 100, highest=110)
    calm = ready(given, load(100))
    assert ready(given, load(100, lately=150)) > 1.1 * calm


def test_a_dip_of_a_minute_lowers_hardly_anything() -> None:
    given = forecast(100, 100, 100, highest=100)
    assert ready(given, load(100, lately=1)) >= 92


def test_what_the_first_second_of_a_minute_brings_is_not_believed_yet() -> None:
    given = forecast(100, 100, 100, highest=200)
    assert ready(given, load(100, lately=150), seconds=0.0) == ready(given, load(100), seconds=0.0)


def test_a_few_messages_move_it_less_than_many() -> None:
    few = ready(forecast(0.2, 0.2, 0.2, highest=0.25), load(0.2, lately=0.4)) / 0.2
    many = ready(forecast(200, 200, 200, highest=250), load(200, lately=400)) / 200
    assert few < many


def test_it_looks_as_far_as_a_worker_takes_to_start() -> None:
    given = forecast(10, 10, 10, 90, spread=0.0)
    assert ready(given, load(10, lead_seconds=60.0)) < 20
    assert ready(given, load(10, lead_seconds=150.0)) == pytest.approx(90)


def test_errors_as_large_as_the_arrivals_do_not_make_it_ready_for_the_moon() -> None:
    given = forecast(100, 100, 100, spread=5.0, highest=120)
    assert ready(given, load(100), use=ForecastUse(quantile=0.999)) == pytest.approx(1.3 * 120)


def test_what_is_expected_is_never_cut_off() -> None:
    given = forecast(10, 500, 500, spread=0.0, highest=10, follows=0.0)
    assert ready(given, load(10)) == pytest.approx(500)


def test_a_forecast_without_a_tail_or_of_another_time_says_nothing() -> None:
    given = forecast(10, 10)
    use, now = ForecastUse(), load(10)
    bare = replace(given, tail=())
    assert rate_to_be_ready_for(bare, use, now, now_ms=AT_MS, workers_per_rate=1.0) is None
    late = AT_MS + 10 * MINUTE_MS
    assert rate_to_be_ready_for(given, use, now, now_ms=late, workers_per_rate=1.0) is None


@given(
    rates=st.lists(st.floats(0, 1e6), min_size=1, max_size=6),
    lately=st.floats(0, 1e6),
    spread=st.floats(0, 20),
    follows=st.floats(0, 1),
    highest=st.floats(0, 1e6),
    price=st.none() | st.floats(0.001, 1e6),
    seconds=st.floats(0, 59),
)
def test_it_is_a_number_that_is_not_negative_whatever_the_forecast_says(  # noqa: PLR0917
    rates: list[float],
    lately: float,
    spread: float,
    follows: float,
    highest: float,
    price: float | None,
    seconds: float,
) -> None:
    given = forecast(*rates, spread=spread, highest=highest, follows=follows)
    use = ForecastUse(missed_minute_costs=price)
    assert 0 <= ready(given, load(lately), use=use, seconds=seconds) < 1e12
