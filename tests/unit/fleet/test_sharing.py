"""How fleets share a machine, and what it has room for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.fleet.room import ASSUMED_WORKER_BYTES, room_for
from octoqueue.fleet.sharing import Want, shares

MIB = 1 << 20

wants = st.lists(
    st.builds(
        Want, fleet=st.sampled_from("abcdef"), least=st.integers(0, 3), wanted=st.integers(0, 12)
    ),
    unique_by=lambda want: want.fleet,
    max_size=6,
)


def want(fleet: str, wanted: int, least: int = 1) -> Want:
    return Want(fleet=fleet, least=least, wanted=wanted)


def test_where_there_is_room_all_get_what_they_want() -> None:
    assert shares([want("a", 3), want("b", 5)], room=8) == {"a": 3, "b": 5}


def test_what_is_short_is_dealt_to_the_poorest_first() -> None:
    assert shares([want("a", 9), want("b", 2), want("c", 9)], room=8) == {"a": 3, "b": 2, "c": 3}


def test_the_least_of_each_is_there_even_where_there_is_no_room() -> None:
    assert shares([want("a", 4, least=2), want("b", 4)], room=1) == {"a": 2, "b": 1}


@given(wants, st.integers(0, 40))
def test_shares_are_bounded_and_leave_nothing_that_somebody_wants(
    asked: list[Want], room: int
) -> None:
    granted = shares(asked, room=room)
    for each in asked:
        assert min(each.least, each.wanted) <= granted[each.fleet] <= each.wanted
    given_away = sum(granted.values())
    least = sum(min(each.least, each.wanted) for each in asked)
    assert given_away <= max(room, least)
    if given_away < room:
        assert all(granted[each.fleet] == each.wanted for each in asked)


@given(wants, st.integers(0, 40))
def test_nobody_could_have_more_except_from_one_that_has_less(asked: list[Want], room: int) -> None:
    granted = shares(asked, room=room)
    for short in (each for each in asked if granted[each.fleet] < each.wanted):
        for other in asked:
            # Others have more than one above it only by their least.
            assert granted[other.fleet] <= max(
                granted[short.fleet] + 1, min(other.least, other.wanted)
            )


@given(wants, st.integers(0, 40))
def test_more_room_takes_from_nobody(asked: list[Want], room: int) -> None:
    tight, wide = shares(asked, room=room), shares(asked, room=room + 1)
    assert all(wide[fleet] >= size for fleet, size in tight.items())


def test_memory_bounds_workers_by_what_they_really_have() -> None:
    room = room_for(running=4, used_bytes=400 * MIB, max_processes=20, max_memory_bytes=1_000 * MIB)
    assert room.workers == 10
    assert room.reason == "memory: 1000 MiB for workers of 100 MiB"


def test_without_a_worker_something_is_assumed_and_the_smaller_bound_counts() -> None:
    room = room_for(
        running=0, used_bytes=0, max_processes=3, max_memory_bytes=100 * ASSUMED_WORKER_BYTES
    )
    assert room.workers == 3
    assert room.reason == "agent.max_processes: 3"
