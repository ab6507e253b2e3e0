from __future__ import annotations

import re
from importlib.resources import files

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.primitives.histogram import (
    WAIT_BOUNDS_MS,
    WAIT_BUCKETS,
    bucket_of,
    percentile_ms,
)

LUA = files("octoqueue.redis").joinpath("lua/includes/wait_buckets.lua").read_text()
waits = st.integers(0, 10_000_000)
quantiles = st.floats(0, 1, exclude_min=True)


def lower(bucket: int) -> int:
    return WAIT_BOUNDS_MS[bucket - 1] if bucket else 0


def upper(bucket: int) -> float:
    return WAIT_BOUNDS_MS[bucket] if bucket < len(WAIT_BOUNDS_MS) else float("inf")


def counts_of(sample: list[int]) -> list[int]:
    counts = [0] * WAIT_BUCKETS
    for wait in sample:
        counts[bucket_of(wait)] += 1
    return counts


def test_lua_has_the_same_bounds() -> None:
    table = re.search(r"WAIT_BOUNDS_MS = \{(.*?)\}", LUA, re.DOTALL)
    assert table is not None
    assert tuple(int(number) for number in re.findall(r"\d+", table[1])) == WAIT_BOUNDS_MS


@given(st.integers(-1_000, 10_000_000))
def test_a_wait_is_inside_its_bucket(wait: int) -> None:
    bucket = bucket_of(wait)
    assert 0 <= bucket < WAIT_BUCKETS
    assert wait <= upper(bucket)
    assert bucket == 0 or wait > lower(bucket)


@given(st.lists(waits, min_size=1, max_size=50), quantiles)
def test_a_percentile_is_in_the_bucket_of_the_true_one(sample: list[int], q: float) -> None:
    rank = max(int(-(-q * len(sample) // 1)), 1)
    true = sorted(sample)[rank - 1]
    found = percentile_ms(counts_of(sample), q)
    assert found is not None
    bucket = bucket_of(true)
    if bucket == WAIT_BUCKETS - 1:
        assert found == WAIT_BOUNDS_MS[-1]
    else:
        assert lower(bucket) <= found <= upper(bucket)


@given(st.lists(waits, min_size=1, max_size=50), quantiles, quantiles)
def test_a_higher_quantile_is_never_lower(sample: list[int], one: float, other: float) -> None:
    counts = counts_of(sample)
    low, high = (percentile_ms(counts, q) for q in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low <= high


def test_without_counts_there_is_no_percentile() -> None:
    assert percentile_ms([0] * WAIT_BUCKETS, 0.5) is None
    assert percentile_ms([], 0.5) is None
