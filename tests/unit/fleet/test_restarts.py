"""When a process that died is started again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.fleet.restarts import Life, Record, RestartPolicy

POLICY = RestartPolicy(
    first_delay=timedelta(seconds=1),
    longest_delay=timedelta(seconds=5),
    tries=6,
    good_life=timedelta(seconds=60),
)
SHORT, LONG = timedelta(seconds=1), timedelta(seconds=61)

lives = st.builds(
    Life,
    exit_code=st.integers(-15, 3),
    was_ready=st.booleans(),
    lasted=st.sampled_from([SHORT, LONG]),
)


def delays(*past: Life) -> list[float | None]:
    record, told = Record(), list[float | None]()
    for life in past:
        record = POLICY.entered(record, life)
        delay = POLICY.delay_after(life, record)
        told.append(None if delay is None else delay.total_seconds())
    return told


def crash(*, lasted: timedelta = SHORT, was_ready: bool = True, exit_code: int = 1) -> Life:
    return Life(exit_code=exit_code, was_ready=was_ready, lasted=lasted)


def test_the_wait_doubles_up_to_its_limit_and_then_there_is_no_further_try() -> None:
    assert delays(*[crash()] * 6) == [1, 2, 4, 5, 5, None]


def test_a_good_life_clears_the_record() -> None:
    assert delays(crash(), crash(), crash(lasted=LONG), crash()) == [1, 2, 1, 2]


def test_what_was_never_ready_and_ended_by_itself_is_given_up_at_once() -> None:
    assert delays(crash(was_ready=False)) == [None]


def test_what_was_killed_before_it_was_ready_gets_another_try() -> None:
    assert delays(crash(was_ready=False, exit_code=-9)) == [1]


def test_what_was_ready_once_is_not_judged_by_a_bad_start() -> None:
    assert delays(crash(), crash(was_ready=False)) == [1, 2]


@given(st.lists(lives, min_size=1, max_size=30))
def test_a_wait_is_never_longer_than_its_limit_nor_shorter_than_the_first(past: list[Life]) -> None:
    for delay in delays(*past):
        assert delay is None or 1 <= delay <= 5


@pytest.mark.parametrize(
    ("exit_code", "told"),
    [(3, "ended with exit code 3"), (-9, "was killed by SIGKILL"), (-64, "was killed by SIGRTMAX")],
)
def test_an_end_is_told_in_words(exit_code: int, told: str) -> None:
    assert crash(exit_code=exit_code).end == told
