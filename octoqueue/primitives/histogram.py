"""The wait-time histogram: fixed buckets, counted in Lua, read everywhere.

`redis/lua/includes/wait_buckets.lua` holds the same bounds; a property test compares them.
Resolution is about a factor of two, so a percentile read from it is right to its bucket, no better.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WAIT_BOUNDS_MS = (
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000,
)  # fmt: skip
"""Upper bounds, inclusive; one more bucket holds everything above."""

WAIT_BUCKETS = len(WAIT_BOUNDS_MS) + 1


def bucket_of(wait_ms: int) -> int:
    """Return the index of the bucket that counts a wait of `wait_ms`."""
    return bisect_left(WAIT_BOUNDS_MS, max(wait_ms, 0))


def percentile_ms(counts: Sequence[int], q: float) -> float | None:
    """Return the `q`-quantile (0 < q <= 1), interpolated inside its bucket; None without counts.

    A quantile in the last bucket has no upper bound and is given as that bucket's lower bound.
    """
    total = sum(counts)
    if total == 0:
        return None
    rank, seen = q * total, 0
    for index, count in enumerate(counts):
        if count and seen + count >= rank:
            low = WAIT_BOUNDS_MS[index - 1] if index else 0
            if index >= len(WAIT_BOUNDS_MS):
                return float(low)
            return low + (WAIT_BOUNDS_MS[index] - low) * max(rank - seen, 0) / count
        seen += count
    return float(WAIT_BOUNDS_MS[-1])
