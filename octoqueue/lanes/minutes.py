"""Tallies to whole minutes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.lanes.tallies import TEN
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.signals import KEPT_SECONDS, MINUTES_KEPT, LaneMinute, QueueMinute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.tallies import LaneTally, Seconds, Tally

_MINUTE = 60


def minutes_from(queue: str, tallies: Sequence[Tally]) -> list[QueueMinute]:
    """Return the minutes of a queue that are over for every one of its tallies, oldest first."""
    first = max(tally.second for tally in tallies) // _MINUTE - MINUTES_KEPT
    last = min(tally.second for tally in tallies) // _MINUTE
    return [_minute(queue, minute, tallies) for minute in range(max(first, 0), last)]


def _minute(queue: str, minute: int, tallies: Sequence[Tally]) -> QueueMinute:
    def total(seconds: Sequence[Seconds]) -> int:
        return sum(
            sum(_slice(each, minute, tally.second))
            for each, tally in zip(seconds, tallies, strict=True)
        )

    lanes = {
        lane: LaneMinute(
            arrivals=total([tally.lanes[lane].arrivals for tally in tallies]),
            starts=total([tally.lanes[lane].starts for tally in tallies]),
            waits=_waits([(tally.lanes[lane], tally.second) for tally in tallies], minute),
        )
        for lane in Lane
    }
    return QueueMinute(
        queue=queue,
        starts_at_ms=minute * _MINUTE * 1000,
        lanes=lanes,
        completions=total([tally.completions for tally in tallies]),
        failures=total([tally.failures for tally in tallies]),
        runs=total([tally.runs for tally in tallies]),
        run_us=total([tally.run_us for tally in tallies]),
        run_ms2=total([tally.run_ms2 for tally in tallies]),
    )


def _slice(seconds: Seconds, minute: int, now: int) -> Seconds:
    first = minute * _MINUTE - (now - KEPT_SECONDS + 1)
    return seconds[max(first, 0) : first + _MINUTE]


def _waits(lanes: Sequence[tuple[LaneTally, int]], minute: int) -> tuple[int, ...]:
    tens: list[tuple[int, ...]] = []
    for lane, now in lanes:
        first = minute * _MINUTE // TEN - (now // TEN - len(lane.waits) + 1)
        tens += lane.waits[max(first, 0) : first + _MINUTE // TEN]
    return tuple(map(sum, zip(*tens, strict=True)))
