from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.lanes.selection import allocate, next_some
from octoqueue.primitives.lane import LANES

counts = st.integers(0, 6)
depths = st.integers(1, 3).flatmap(
    lambda queues: st.lists(
        st.lists(st.lists(counts, min_size=3, max_size=3), min_size=queues, max_size=queues),
        min_size=1,
        max_size=5,
    )
)
limits = st.integers(0, 40)
rotations = st.integers(0, 1_000_000)


def total(depths: list[list[list[int]]], lane: int) -> int:
    return sum(queue[lane] for partition in depths for queue in partition)


@given(depths, limits, rotations)
def test_all_there_is_is_asked_for_up_to_the_limit(
    depths: list[list[list[int]]], limit: int, rotation: int
) -> None:
    wanted = allocate(depths, limit=limit, rotation=rotation)
    there = sum(total(depths, lane) for lane in range(3))
    assert sum(wanted) == min(limit, there)


@given(depths, limits, rotations)
def test_no_partition_is_asked_for_more_than_it_has(
    depths: list[list[list[int]]], limit: int, rotation: int
) -> None:
    wanted = allocate(depths, limit=limit, rotation=rotation)
    assert len(wanted) == len(depths)
    for count, partition in zip(wanted, depths, strict=True):
        assert 0 <= count <= sum(sum(queue) for queue in partition)


@given(depths, limits, rotations)
def test_no_lower_lane_is_served_while_a_higher_one_waits(
    depths: list[list[list[int]]], limit: int, rotation: int
) -> None:
    """Each partition serves its own lanes strictly; the sum over partitions must be strict too."""
    served = [0, 0, 0]
    for count, partition in zip(
        allocate(depths, limit=limit, rotation=rotation), depths, strict=True
    ):
        left = count
        for lane in range(3):
            here = min(left, sum(queue[lane] for queue in partition))
            served[lane] += here
            left -= here
    for lane in range(3):
        if served[lane] < total(depths, lane):
            assert not any(served[lane + 1 :])


@given(depths, rotations)
def test_the_round_begins_at_its_rotation(depths: list[list[list[int]]], rotation: int) -> None:
    wanted = allocate(depths, limit=1, rotation=rotation)
    if not sum(wanted):
        return
    highest = next(lane for lane in range(3) if total(depths, lane))
    order = [(rotation + step) % len(depths) for step in range(len(depths))]
    first = next(p for p in order if sum(queue[highest] for queue in depths[p]))
    assert wanted[first] == 1


def test_no_queue_and_no_partition_ask_for_nothing() -> None:
    assert allocate([], limit=5) == []
    assert allocate([[], []], limit=5) == [0, 0]


marks = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 7), min_size=1)


@given(marks, st.sets(st.sampled_from("abcdefgh")), st.integers(1, 4), rotations)
def test_of_many_queues_all_lanes_are_asked_once_and_strictly(
    marked: dict[str, int], first: set[str], most: int, turn: int
) -> None:
    asked: list[tuple[int, str]] = []
    left, preferred = marked, first
    while left:
        some, after = next_some(left, first=preferred, most=most, turn=turn)
        assert 1 <= len(some.queues) == len(some.looked_after) <= most
        assert sorted(some.queues, key=lambda name: name not in preferred) == list(some.queues)
        here = [
            (int(lane), name)
            for name, digit in zip(some.queues, some.looked_after, strict=True)
            for lane in LANES
            if int(digit) >> lane & 1
        ]
        assert all(lane <= some.lowest for lane, _ in here)
        asked += sorted(here)
        preferred = preferred - set(some.queues)
        assert sum(map(int.bit_count, after.values())) == sum(
            map(int.bit_count, left.values())
        ) - len(here)
        left = after
    assert [lane for lane, _ in asked] == sorted(lane for lane, _ in asked)
    assert sorted(asked) == sorted(
        (int(lane), name) for name, lanes in marked.items() for lane in LANES if lanes >> lane & 1
    )


def test_of_queues_with_equal_lanes_none_is_always_first() -> None:
    marked = dict.fromkeys("abcdefgh", 2)
    firsts = {next_some(marked, first=(), most=3, turn=turn)[0].queues[0] for turn in range(8)}
    assert firsts == set("abcdefgh")
