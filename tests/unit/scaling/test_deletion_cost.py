"""The cost of deleting a pod: 0 when idle, more for more, and still while nothing doubles."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.scaling.deletion_cost import (
    HIGHEST,
    LEAST_COST,
    LEAST_SECONDS,
    Pace,
    deletion_cost,
)

COUNTS = st.integers(0, 10_000)
AMOUNTS = st.floats(0, 1e300, allow_nan=False)
WORK = st.tuples(COUNTS, AMOUNTS, AMOUNTS)
INT32_MAX = 2**31 - 1


def cost(running: int, seconds: float = 0.0, spent: float = 0.0) -> int:
    return deletion_cost(running=running, at_risk_seconds=seconds, at_risk_cost=spent)


def test_an_idle_worker_costs_nothing_and_a_busy_one_something() -> None:
    assert cost(0) == 0
    assert cost(1) == cost(100) == 1


def test_short_work_is_busy_and_no_more() -> None:
    assert cost(5, LEAST_SECONDS * 0.99, LEAST_COST * 0.99) == 1


def test_time_counts_by_doublings() -> None:
    seconds = (10, 19, 20, 39, 40, 79, 80)
    assert [cost(1, value) for value in seconds] == [2, 2, 3, 3, 4, 4, 5]


def test_what_has_cost_more_is_dearer_than_what_has_taken_longer() -> None:
    assert cost(1, 60, 2.0) > cost(1, 1e12, 1.0)


@given(WORK, WORK)
def test_more_of_everything_never_costs_less(
    one: tuple[int, float, float], other: tuple[int, float, float]
) -> None:
    more = max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2])
    assert cost(*one) <= cost(*more)


@given(WORK)
def test_it_is_an_int32_that_has_an_end(work: tuple[int, float, float]) -> None:
    assert 0 <= cost(*work) <= HIGHEST <= INT32_MAX


@given(WORK)
def test_only_who_has_nothing_costs_nothing(work: tuple[int, float, float]) -> None:
    running, seconds, spent = work
    is_idle = running == 0 and seconds < LEAST_SECONDS and spent < LEAST_COST
    assert (cost(*work) == 0) is is_idle


@given(st.floats(LEAST_SECONDS, 1e12), st.floats(1, 1.99))
def test_it_moves_by_one_at_most_before_time_has_doubled(seconds: float, factor: float) -> None:
    assert cost(1, seconds * factor) - cost(1, seconds) in {0, 1}


def test_strange_numbers_are_no_cost() -> None:
    assert cost(0, math.nan, -1.0) == 0
    assert cost(1, math.inf, math.inf) == HIGHEST


# ── how often ────────────────────────────────────────────────────────────────────────────────────

PACE = Pace(every_seconds=10, fall_seconds=60)


def test_the_first_value_is_said_at_once() -> None:
    assert PACE.is_due(0, None, since_seconds=0)


@given(st.integers(0, HIGHEST), st.floats(0, 1e9))
def test_the_same_value_is_never_said_again(value: int, since: float) -> None:
    assert not PACE.is_due(value, value, since_seconds=since)


@given(st.integers(0, HIGHEST), st.integers(0, HIGHEST), st.floats(0, 9.99))
def test_nothing_is_said_more_often_than_allowed(wanted: int, said: int, since: float) -> None:
    assert not PACE.is_due(wanted, said, since_seconds=since)


def test_becoming_idle_or_dearer_is_said_as_soon_as_allowed() -> None:
    assert PACE.is_due(0, 5, since_seconds=10)
    assert PACE.is_due(6, 5, since_seconds=10)


def test_becoming_a_little_cheaper_is_no_hurry() -> None:
    assert not PACE.is_due(4, 5, since_seconds=59)
    assert PACE.is_due(4, 5, since_seconds=60)
