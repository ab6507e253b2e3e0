from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.lanes.selection import allocate

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
