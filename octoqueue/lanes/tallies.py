"""What happened in a queue by the second, in the last ten minutes: read from one string. Pure.

`redis/lua/includes/tally.lua` writes the string and draws it. A slot counts only when it begins
with the number of its own second (or ten seconds): what is older, or ahead of a clock that was set
back, is left out.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from octoqueue.primitives.histogram import WAIT_BUCKETS
from octoqueue.primitives.lane import LANES
from octoqueue.primitives.signals import KEPT_SECONDS, WINDOWS_SECONDS, Counts, ServiceTime, Waits

if TYPE_CHECKING:
    from collections.abc import Sequence

WAITS_SECONDS = 60
"""The window of waiting times, right to ten seconds: they are counted ten seconds together."""
TEN = 10
_TENS = KEPT_SECONDS // TEN + 1

_ARRIVALS = struct.Struct(f">{2 * KEPT_SECONDS}I")
_ENDED = struct.Struct(">" + "4I2q" * KEPT_SECONDS)
_ENDED_FIELDS = 6
_STARTS_FIELDS = 1 + WAIT_BUCKETS + TEN
_STARTS = struct.Struct(f">{_TENS * _STARTS_FIELDS}I")
_ENDED_AT = len(LANES) * _ARRIVALS.size
_STARTS_AT = _ENDED_AT + _ENDED.size
TALLY_BYTES = _STARTS_AT + len(LANES) * _STARTS.size
"""The size of the string, whatever happens in the queue: 54,096."""

Seconds = list[int]
"""A number for each of the last `KEPT_SECONDS` seconds, the current one last."""


def _nothing() -> Seconds:
    return [0] * KEPT_SECONDS


@dataclass(slots=True, kw_only=True)
class LaneTally:
    """One lane."""

    arrivals: Seconds = field(default_factory=_nothing)
    starts: Seconds = field(default_factory=_nothing)
    waits: list[tuple[int, ...]] = field(default_factory=lambda: [(0,) * WAIT_BUCKETS] * _TENS)
    """Buckets for each ten seconds, the current ones last."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """One queue."""

    second: int
    """The current one, since the epoch."""
    lanes: tuple[LaneTally, ...] = field(default_factory=lambda: tuple(LaneTally() for _ in LANES))
    completions: Seconds = field(default_factory=_nothing)
    failures: Seconds = field(default_factory=_nothing)
    runs: Seconds = field(default_factory=_nothing)
    run_us: Seconds = field(default_factory=_nothing)
    run_ms2: Seconds = field(default_factory=_nothing)


def tally_from(text: bytes, now_ms: int) -> Tally:
    """Return what a string says at a moment of the clock by which it was written."""
    now = now_ms // 1000
    tally = Tally(second=now)
    if not text:
        return tally
    text = text.ljust(TALLY_BYTES, b"\0")
    for number, lane in enumerate(tally.lanes):
        values = _ARRIVALS.unpack_from(text, number * _ARRIVALS.size)
        (lane.arrivals,) = _in_order(now, values[::2], values[1::2])
        _read_starts(lane, now, _STARTS.unpack_from(text, _STARTS_AT + number * _STARTS.size))
    values = _ENDED.unpack_from(text, _ENDED_AT)
    columns = [values[column::_ENDED_FIELDS] for column in range(_ENDED_FIELDS)]
    found = _in_order(now, *columns)
    tally.completions, tally.failures, tally.runs, tally.run_us, tally.run_ms2 = found
    return tally


def _in_order(now: int, stamps: tuple[int, ...], *columns: tuple[int, ...]) -> tuple[Seconds, ...]:
    """Return columns of slots from the oldest second to the current one."""
    first = (now + 1) % KEPT_SECONDS
    expected = range(now - KEPT_SECONDS + 1, now + 1)
    rotated = stamps[first:] + stamps[:first]
    is_own = [stamp == second for stamp, second in zip(rotated, expected, strict=True)]
    return tuple(
        [
            value if own else 0
            for value, own in zip(column[first:] + column[:first], is_own, strict=True)
        ]
        for column in columns
    )


def _read_starts(lane: LaneTally, now: int, values: tuple[int, ...]) -> None:
    starts: Seconds = []
    last = now // TEN
    for index, ten in enumerate(range(last - _TENS + 1, last + 1)):
        at = ten % _TENS * _STARTS_FIELDS
        if values[at] == ten:
            lane.waits[index] = values[at + 1 : at + 1 + WAIT_BUCKETS]
            starts += values[at + 1 + WAIT_BUCKETS : at + _STARTS_FIELDS]
        else:
            starts += (0,) * TEN
    ahead = TEN - 1 - now % TEN
    until = len(starts) - ahead
    lane.starts = starts[until - KEPT_SECONDS : until]


def counts_of(tallies: Sequence[Seconds]) -> Counts:
    """Return how many events there were in each window, in all of these together."""
    return Counts(
        counts=tuple(
            sum(sum(seconds[-window:]) for seconds in tallies) for window in WINDOWS_SECONDS
        )
    )


def waits_of(lanes: Sequence[LaneTally]) -> Waits:
    """Return the waiting times of what was started in the last minute."""
    tens = [buckets for lane in lanes for buckets in lane.waits[-WAITS_SECONDS // TEN :]]
    return Waits(window_seconds=WAITS_SECONDS, counts=tuple(map(sum, zip(*tens, strict=True))))


def service_of(tallies: Sequence[Tally]) -> ServiceTime:
    """Return the mean and the variance of running times.

    The variance is that of a sample, from sums of squares that are kept in whole square
    milliseconds: of attempts that run for less than one it is 0.
    """
    count = sum(sum(tally.runs) for tally in tallies)
    if count <= 0:
        return ServiceTime(
            window_seconds=KEPT_SECONDS, count=0, mean_seconds=0.0, variance_seconds2=0.0
        )
    total = max(0, sum(sum(tally.run_us) for tally in tallies)) / 1e6
    squares = max(0, sum(sum(tally.run_ms2) for tally in tallies)) / 1e6
    variance = (squares - total**2 / count) / (count - 1) if count > 1 else 0.0
    return ServiceTime(
        window_seconds=KEPT_SECONDS,
        count=count,
        mean_seconds=total / count,
        variance_seconds2=max(0.0, variance),
    )
