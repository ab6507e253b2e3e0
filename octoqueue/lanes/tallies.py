"""What happened in a queue by the second, in the last ten minutes: read from one string. Pure.

`redis/lua/includes/tally.lua` writes the string and draws it. A slot says what the counters were
when its second began, so what happened since is what they are now, less that; what happened in one
second is the difference to the next slot. A slot counts only when it begins with the number of its
own second: what is older is left out, and what is ahead of a clock that was set back only bounds
what is told of others. Counts are never below 0: a slot that says more than the counter does now is
left out, too.

Weakness: after a clock was set back, what had happened in seconds that come again is told as of the
last second before them. A window that ends shortly after may so tell twice what there was.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from octoqueue.primitives.histogram import WAIT_BUCKETS
from octoqueue.primitives.lane import LANES
from octoqueue.primitives.signals import KEPT_SECONDS, WINDOWS_SECONDS, Counts, ServiceTime, Waits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WAITS_SECONDS = 60
"""The window of waiting times, right to ten seconds: they are counted ten seconds together."""
TEN = 10
_TENS = KEPT_SECONDS // TEN + 1
_ENDED_FIELDS = 6

_LAST_BYTES = 16
_ARRIVALS = struct.Struct(f">{2 * KEPT_SECONDS}I")
_ENDED = struct.Struct(">" + "4I2q" * KEPT_SECONDS)
_STARTS = struct.Struct(f">{(1 + len(LANES)) * KEPT_SECONDS}I")
_WAITS_FIELDS = 1 + len(LANES) * WAIT_BUCKETS
_WAITS = struct.Struct(f">{_TENS * _WAITS_FIELDS}I")
_ENDED_AT = _LAST_BYTES + len(LANES) * _ARRIVALS.size
_STARTS_AT = _ENDED_AT + _ENDED.size
_WAITS_AT = _STARTS_AT + _STARTS.size
TALLY_BYTES = _WAITS_AT + _WAITS.size
"""The size of the string, whatever happens in the queue: 55,904."""
_AROUND = 1 << 32
"""Counters of messages are kept modulo this."""

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


def tally_from(text: bytes, counters: Mapping[str, int], now_ms: int) -> Tally:
    """Return what a string and the counters say, read together at a moment of their clock."""
    now = now_ms // 1000
    tally = Tally(second=now)
    if not text:
        return tally
    text = text.ljust(TALLY_BYTES, b"\0")
    starts = _STARTS.unpack_from(text, _STARTS_AT)
    found = _found(starts[:: 1 + len(LANES)], now, KEPT_SECONDS)
    tens = _WAITS.unpack_from(text, _WAITS_AT)
    found_tens = _found(tens[::_WAITS_FIELDS], now // TEN, _TENS)
    for number, lane in enumerate(tally.lanes):
        arrived = counters.get(f"arrived:{number}", 0)
        if arrived:
            slots = _ARRIVALS.unpack_from(text, _LAST_BYTES + number * _ARRIVALS.size)
            own = _found(slots[::2], now, KEPT_SECONDS)
            lane.arrivals = _each(own, slots[1::2], arrived, KEPT_SECONDS, _AROUND)
        waits = [counters.get(f"wait:{number}:{bucket}", 0) for bucket in range(WAIT_BUCKETS)]
        if any(waits):
            before = starts[1 + number :: 1 + len(LANES)]
            lane.starts = _each(found, before, sum(waits), KEPT_SECONDS, _AROUND)
            first = 1 + number * WAIT_BUCKETS
            columns = [
                _each(found_tens, tens[first + bucket :: _WAITS_FIELDS], total, _TENS, _AROUND)
                for bucket, total in enumerate(waits)
            ]
            lane.waits = list(zip(*columns, strict=True))
    _read_ended(tally, _ENDED.unpack_from(text, _ENDED_AT), counters)
    return tally


def _read_ended(tally: Tally, values: tuple[int, ...], counters: Mapping[str, int]) -> None:
    found = _found(values[::_ENDED_FIELDS], tally.second, KEPT_SECONDS)
    failed = counters.get("retried", 0) + counters.get("dead", 0)
    totals = [counters.get("acked", 0), failed]
    totals += [counters.get(name, 0) for name in ("runs", "run_us", "run_ms2")]
    columns = [
        _each(found, values[1 + number :: _ENDED_FIELDS], total, KEPT_SECONDS, around)
        for number, (total, around) in enumerate(
            zip(totals, (_AROUND, _AROUND, _AROUND, None, None), strict=True)
        )
    ]
    tally.completions, tally.failures, tally.runs, tally.run_us, tally.run_ms2 = columns


def _found(stamps: tuple[int, ...], now: int, size: int) -> list[tuple[int, int]]:
    """Return where slots stand that are of the last `size` moments or ahead, the newest first.

    With each, how long ago it was: below 0 when the clock was set back since.
    """
    ahead: list[tuple[int, int]] = []
    if max(stamps) > now:
        ahead = sorted((now - moment, at) for at, moment in enumerate(stamps) if moment > now)
    return ahead + [
        (ago, at)
        for ago, moment in enumerate(range(now, now - size, -1))
        if stamps[at := moment % size] == moment
    ]


def _each(
    found: Sequence[tuple[int, int]],
    before: tuple[int, ...],
    total: int,
    size: int,
    around: int | None,
) -> Seconds:
    """Return how much a counter grew in each moment, the last of them the current one.

    When a clock was set back the counters say in which order slots were begun, as they only grow.
    """
    grown, since = [0] * size, 0
    if not total:
        return grown
    if found and found[0][0] < 0:
        found = sorted(found, key=lambda slot: _less(total, before[slot[1]], around))
    for ago, at in found:
        more = total - before[at]
        if around is not None:
            more %= around
            if more > around // 2:  # the counter was begun anew
                continue
        if more > since:
            if ago >= 0:
                grown[size - 1 - ago] = more - since
            since = more
    return grown


def _less(total: int, before: int, around: int | None) -> int:
    return total - before if around is None else (total - before) % around


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
