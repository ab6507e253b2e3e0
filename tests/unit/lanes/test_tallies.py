"""Strings of counts by the second: what is read from them, and what is not."""

from __future__ import annotations

import struct

import pytest

from octoqueue.lanes.minutes import minutes_from
from octoqueue.lanes.tallies import TALLY_BYTES, Tally, counts_of, service_of, tally_from
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.signals import KEPT_SECONDS, MINUTES_KEPT, WINDOWS_SECONDS

NOW = 1_700_000_000
ARRIVALS_AT, ARRIVAL_BYTES = 16, 8


def text(*slots: tuple[int, int], lane: Lane = Lane.HIGH) -> bytes:
    """A string in which, when these seconds began, so many had arrived."""
    found = bytearray(TALLY_BYTES)
    for second, before in slots:
        at = ARRIVALS_AT + (lane * KEPT_SECONDS + second % KEPT_SECONDS) * ARRIVAL_BYTES
        struct.pack_into(">2I", found, at, second, before % 2**32)
    return bytes(found)


def arrivals(string: bytes, total: int, *, lane: Lane = Lane.HIGH) -> tuple[int, ...]:
    tally = tally_from(string, {f"arrived:{int(lane)}": total}, NOW * 1000)
    return counts_of([tally.lanes[lane].arrivals]).counts


def test_what_happened_since_a_second_began_is_the_difference_to_now() -> None:
    found = text((NOW - 100, 10), (NOW - 20, 30), (NOW, 60))
    assert arrivals(found, 100) == (40, 70, 90, 90)


@pytest.mark.parametrize("total", [2**32 + 5, 2**33 + 5, 3 * 2**32 + 5])
def test_a_counter_may_go_beyond_what_a_slot_can_hold(total: int) -> None:
    assert arrivals(text((NOW - 1, total - 9)), total) == (9, 9, 9, 9)


def test_slots_of_other_times_are_left_out() -> None:
    old, ahead = (NOW - KEPT_SECONDS, 1), (NOW + 5, 2)
    assert arrivals(text(old, ahead), 100) == (0, 0, 0, 0)


def test_a_slot_that_says_more_than_the_counter_is_left_out() -> None:
    assert arrivals(text((NOW - 30, 500), (NOW - 1, 2)), 5) == (3, 3, 3, 3)


def test_a_second_that_came_again_does_not_count_below_0() -> None:
    found = text((NOW - 30, 10), (NOW - 20, 90), (NOW - 5, 40))
    counts = arrivals(found, 100)
    assert counts == (60, 90, 90, 90)
    assert list(counts) == sorted(counts)


@pytest.mark.parametrize("back_seconds", [1, 20, 300, 599])
def test_a_clock_that_was_set_back_makes_no_burst_of_a_steady_flow(back_seconds: int) -> None:
    slots = {second: 2 * (second - NOW) % 2**32 for second in range(NOW - 599, NOW + 1)}
    per_second = 2
    for back in range(back_seconds + 1):  # the flow goes on, and its seconds come again
        now = NOW - back_seconds + back
        slots[now] = 2 * (back + 1) % 2**32
        found = tally_from(
            text(*slots.items()), {"arrived:0": 2**32 + 2 * (back + 2)}, now * 1000
        ).lanes[Lane.HIGH]
        for window in (10, 60):
            assert sum(found.arrivals[-window:]) <= 2 * per_second * window


def test_a_string_that_was_cut_short_is_read_as_far_as_it_goes() -> None:
    whole = text((NOW, 3), lane=Lane.HIGH)
    assert arrivals(whole[: 16 + 1200 * 8], 5) == (2, 2, 2, 2)
    assert arrivals(b"", 5) == (0, 0, 0, 0)


def test_running_times_that_are_nonsense_give_no_negative_variance() -> None:
    tally = Tally(second=NOW)
    tally.runs[-1], tally.run_us[-1], tally.run_ms2[-1] = 2, 9_000_000, 1
    assert service_of([tally]).variance_seconds2 == 0
    tally.runs[-1], tally.run_us[-1] = 1, 5_000_000
    service = service_of([tally])
    assert (service.mean_seconds, service.variance_seconds2, service.squared_variation) == (
        5,
        0,
        None,
    )


def test_minutes_are_those_that_every_clock_has_left_behind() -> None:
    early, late = Tally(second=60 * 100 - 1), Tally(second=60 * 100 + 1)
    both = minutes_from("coder", [early, late])
    assert [minute.starts_at_ms // 60_000 for minute in both] == list(range(91, 99))
    assert len(minutes_from("coder", [late])) == MINUTES_KEPT
    assert minutes_from("coder", [Tally(second=30)]) == []


def test_minutes_of_partitions_add_up_by_the_clock_and_not_by_how_long_ago_they_were() -> None:
    early, late = Tally(second=6_000), Tally(second=6_030)
    early.completions[-1 - 60] = 3  # in second 5,940
    late.completions[-1 - 60] = 5  # in second 5,970
    last = minutes_from("coder", [early, late])[-1]
    assert (last.starts_at_ms, last.completions) == (5_940_000, 8)


def test_windows_are_no_longer_than_what_is_kept() -> None:
    assert max(WINDOWS_SECONDS) == KEPT_SECONDS
