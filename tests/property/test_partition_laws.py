from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import ConfigError
from octoqueue.primitives.ids import MessageId, new_message_id
from octoqueue.routing.partitions import SLOTS, PartitionMap, jump_hash

counts = st.integers(1, 60)
ids = st.binary(min_size=16, max_size=16).map(MessageId)
cached = cache(PartitionMap)
ALL_SLOTS = [MessageId(bytes(14) + slot.to_bytes(2)) for slot in range(SLOTS)]


@given(counts, ids)
def test_an_id_has_one_partition_and_it_is_in_range(partitions: int, message_id: MessageId) -> None:
    first = PartitionMap(partitions).of_id(message_id)
    assert first == cached(partitions).of_id(message_id)
    assert 0 <= first < partitions


@given(counts)
def test_one_more_partition_moves_ids_to_the_new_one_only(partitions: int) -> None:
    before, after = cached(partitions), cached(partitions + 1)
    for message_id in ALL_SLOTS:
        old, new = before.of_id(message_id), after.of_id(message_id)
        assert new in (old, partitions)


@given(counts, ids, st.binary(min_size=14, max_size=14))
def test_ids_of_one_affinity_share_a_partition(
    partitions: int, message_id: MessageId, other: bytes
) -> None:
    mapped = cached(partitions)
    beside = MessageId(other + message_id[-2:])
    assert mapped.of_id(beside) == mapped.of_id(message_id)
    assert mapped.of_id(new_message_id(beside=message_id)) == mapped.of_id(message_id)


@given(counts, st.text(st.characters(exclude_categories=["Cs"])))
def test_a_name_has_one_partition_and_it_is_in_range(partitions: int, name: str) -> None:
    first = PartitionMap(partitions).of_key(name)
    assert first == cached(partitions).of_key(name)
    assert 0 <= first < partitions


@pytest.mark.parametrize(("partitions", "tolerance"), [(2, 0.2), (5, 0.2), (10, 0.2), (32, 0.4)])
def test_shares_are_as_even_as_the_module_says(partitions: int, tolerance: float) -> None:
    mapped = PartitionMap(partitions)
    shares = Counter(mapped.of_id(message_id) for message_id in ALL_SLOTS)
    even = SLOTS / partitions
    assert all(abs(shares[p] - even) <= tolerance * even for p in range(partitions))


@given(st.integers(0, 2**64 - 1), st.integers(1, 1_024))
def test_jump_hash_only_ever_jumps_to_the_newest_bucket(key: int, buckets: int) -> None:
    now, then = jump_hash(key, buckets), jump_hash(key, buckets + 1)
    assert 0 <= now < buckets
    assert then in (now, buckets)


@pytest.mark.parametrize("partitions", [0, -1, SLOTS + 1])
def test_an_impossible_number_of_partitions_is_refused_by_name(partitions: int) -> None:
    with pytest.raises(ConfigError) as caught:
        PartitionMap(partitions)
    assert caught.value.key == "lanes.partitions"


def test_every_partition_may_have_a_single_slot() -> None:
    assert 0 <= PartitionMap(SLOTS).of_id(ALL_SLOTS[-1]) < SLOTS
