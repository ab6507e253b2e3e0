from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import (
    NOISE,
    evenly_ns,
    paired_ratio,
    percentile,
    randomly_ns,
    spread_of,
)

VALUES = st.lists(st.floats(min_value=1e-3, max_value=1e9), min_size=1, max_size=30)


def test_a_spread_is_the_median_and_the_range() -> None:
    spread = spread_of([30.0, 10.0, 20.0])
    assert (spread.median, spread.low, spread.high) == (20.0, 10.0, 30.0)


@given(VALUES)
def test_the_median_lies_within_the_range(values: list[float]) -> None:
    spread = spread_of(values)
    assert spread.low <= spread.median <= spread.high


@given(VALUES)
def test_the_order_of_rounds_does_not_matter(values: list[float]) -> None:
    assert spread_of(values) == spread_of(values[::-1])


def test_a_range_of_a_quarter_of_the_median_is_the_last_that_is_no_noise() -> None:
    last = 100.0 * (1 + NOISE)
    assert not spread_of([100.0, 100.0, last]).is_noisy
    assert spread_of([100.0, 100.0, last + 1]).is_noisy


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_what_was_not_measured_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="cannot sum up"):
        spread_of(values)


def test_a_ratio_is_taken_inside_each_round() -> None:
    # The machine was half as fast in the second round, for both.
    assert paired_ratio([30.0, 15.0, 30.0], [100.0, 50.0, 100.0]) == spread_of([0.3, 0.3, 0.3])


def test_sides_with_unequal_rounds_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="argument"):
        paired_ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("q", "value"), [(0.01, 1), (0.50, 50), (0.505, 51), (0.99, 99), (0.999, 100), (1.0, 100)]
)
def test_a_percentile_is_the_nearest_rank(q: float, value: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], q) == value


@given(VALUES, st.floats(min_value=0.001, max_value=1))
def test_a_percentile_was_really_measured_and_that_share_is_not_above_it(
    values: list[float], q: float
) -> None:
    found = percentile(values, q)
    assert found in values
    assert sum(value <= found for value in values) >= q * len(values) * (1 - 1e-12)


@pytest.mark.parametrize(("values", "q"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1)])
def test_an_impossible_percentile_is_refused(values: list[float], q: float) -> None:
    with pytest.raises(ValueError, match="quantile"):
        percentile(values, q)


RATES = st.floats(min_value=1, max_value=1e5)
COUNTS = st.integers(min_value=1, max_value=300)


@given(RATES, COUNTS)
def test_even_arrivals_follow_from_the_start_and_do_not_drift(
    per_second: float, count: int
) -> None:
    due = evenly_ns(per_second=per_second, count=count)
    assert due[0] == 0
    assert len(due) == count
    for number, at_ns in enumerate(due):
        assert abs(at_ns - number * 1e9 / per_second) <= 1


@given(RATES, COUNTS, st.integers())
def test_random_arrivals_are_in_order_and_the_same_for_the_same_seed(
    per_second: float, count: int, seed: int
) -> None:
    due = randomly_ns(per_second=per_second, count=count, seed=seed)
    assert len(due) == count
    assert due == sorted(due)
    assert due == randomly_ns(per_second=per_second, count=count, seed=seed)


def test_random_arrivals_have_the_rate_they_were_asked_for() -> None:
    due = randomly_ns(per_second=1_000, count=20_000, seed=1)
    assert due[-1] == pytest.approx(20e9, rel=0.03)
