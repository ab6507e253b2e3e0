from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import ConfigError
from octoqueue.workflows.sharding import shards_of_partitions


@given(st.integers(2, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(2, n))))
def test_shards_are_even_and_a_new_one_takes_only_what_it_needs(sizes: tuple[int, int]) -> None:
    partitions, shards = sizes
    before = shards_of_partitions(partitions, shards - 1)
    after = shards_of_partitions(partitions, shards)
    counts = Counter(after)
    assert set(counts) == set(range(shards))
    assert max(counts.values()) - min(counts.values()) <= 1
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert moved == [shards - 1] * (partitions // shards)


def test_ten_partitions_in_four_shards_stay_where_they_are() -> None:
    assert shards_of_partitions(10, 4) == (0, 0, 3, 2, 2, 2, 3, 1, 1, 1)


@pytest.mark.parametrize("shards", [0, 11])
def test_more_shards_than_partitions_are_refused(shards: int) -> None:
    with pytest.raises(ConfigError, match=f"{shards} shards"):
        shards_of_partitions(10, shards)
