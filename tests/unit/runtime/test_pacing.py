"""How much a worker claims, by what messages cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.runtime.pacing import HELD_SECONDS, Pace

COSTS = st.lists(st.tuples(st.integers(1, 500), st.floats(0, 10)), max_size=30)
BUSY = {"at": 1.0, "cpu": 1.0}


def busy(pace: Pace) -> Pace:
    """The same, after a second in which the process did nothing but compute."""
    pace.read(at=0.0, cpu=0.0)
    pace.read(**BUSY)
    return pace


def test_as_long_as_nothing_is_known_every_free_slot_may_be_filled() -> None:
    assert Pace().room(free=100, in_threads=0) == 100


def test_messages_that_compute_for_a_millisecond_are_claimed_a_few_at_a_time() -> None:
    pace = Pace()
    for _ in range(10):
        pace.began(10, seconds=0.010)
    assert pace.room(free=100, in_threads=0) == pytest.approx(HELD_SECONDS / 0.001, abs=1)
    assert pace.is_long(50)


def test_messages_that_only_wait_fill_every_slot() -> None:
    pace = Pace()
    pace.began(50, seconds=50 * 10e-6)
    assert pace.room(free=200, in_threads=0) == 200
    assert not pace.is_long(50)


def test_a_message_longer_than_the_bound_is_claimed_alone() -> None:
    pace = Pace()
    pace.began(1, seconds=3.0)
    assert pace.room(free=100, in_threads=0) == 1


def test_a_slow_one_among_many_is_soon_forgotten() -> None:
    pace = Pace()
    pace.began(1, seconds=1.0)
    for _ in range(40):
        pace.began(1, seconds=10e-6)
    assert pace.room(free=100, in_threads=0) == 100


def test_threads_that_wait_are_not_held_back_however_many_run() -> None:
    pace = Pace()
    pace.ran(seconds=0.1, cpu_seconds=0.001)
    pace.read(at=0.0, cpu=0.0)
    pace.read(at=1.0, cpu=0.3)
    assert not pace.is_computing
    assert pace.room(free=60, in_threads=40) == 60


def test_threads_that_compute_are_run_a_few_at_a_time() -> None:
    pace = busy(Pace())
    pace.ran(seconds=0.1, cpu_seconds=0.001)
    together = HELD_SECONDS / 0.001
    assert pace.room(free=100, in_threads=0) == together
    assert pace.room(free=98, in_threads=2) == together - 2
    assert pace.room(free=60, in_threads=40) == 0


def test_nothing_is_claimed_for_a_single_thread_that_has_come_free_among_several() -> None:
    pace = busy(Pace())
    pace.ran(seconds=0.1, cpu_seconds=0.001)
    together = int(HELD_SECONDS / 0.001)
    assert [pace.room(free=90, in_threads=together - left) for left in (1, 2, 3)] == [0, 0, 3]


def test_threads_that_mostly_compute_are_run_a_few_at_a_time_though_the_process_has_time() -> None:
    pace = Pace()
    pace.read(at=0.0, cpu=0.0)
    pace.read(at=1.0, cpu=0.5)
    pace.ran(seconds=0.0012, cpu_seconds=0.001)
    assert pace.room(free=100, in_threads=0) == HELD_SECONDS / 0.001


def test_how_busy_the_process_is_is_asked_only_now_and_then() -> None:
    pace = Pace()
    assert pace.is_due(at=0.0)
    pace.read(at=0.0, cpu=0.0)
    assert not pace.is_due(at=0.001)
    assert pace.is_due(at=1.0)


@given(
    began=COSTS,
    computed=st.lists(st.floats(0, 10), max_size=10),
    readings=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=5),
    free=st.integers(0, 1_000),
)
def test_room_is_never_more_than_free_slots_and_an_idle_worker_always_has_some(
    began: list[tuple[int, float]],
    computed: list[float],
    readings: list[tuple[float, float]],
    free: int,
) -> None:
    pace = Pace()
    for count, seconds in began:
        pace.began(count, seconds=seconds)
    for seconds in computed:
        pace.ran(seconds=seconds * 2, cpu_seconds=seconds)
    for at, cpu in readings:
        pace.read(at=at, cpu=cpu)
    assert 0 <= pace.room(free=free, in_threads=free) <= free
    if free:
        assert pace.room(free=free, in_threads=0) >= 1
