"""What happened in a queue of the memory store by the second: plain counters, nothing forgotten."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from octoqueue.lanes.tallies import TEN, LaneTally, Tally
from octoqueue.primitives.histogram import WAIT_BUCKETS, bucket_of
from octoqueue.primitives.lane import LANES, Lane
from octoqueue.primitives.messages import Outcome
from octoqueue.primitives.signals import KEPT_SECONDS

if TYPE_CHECKING:
    from octoqueue.lanes.tallies import Seconds

_KINDS = {
    Outcome.ACK: "completions",
    Outcome.RETRY: "failures",
    Outcome.DEAD_LETTER: "failures",
}
_ENDED = ("completions", "failures", "runs", "run_us", "run_ms2")


@dataclass(slots=True)
class MemoryTallies:
    """Counts by kind and second."""

    counted: Counter[tuple[str, Lane | None, int]] = field(
        default_factory=Counter[tuple[str, Lane | None, int]]
    )
    waits: Counter[tuple[Lane, int, int]] = field(default_factory=Counter[tuple[Lane, int, int]])

    def arrive(self, lane: Lane, now_ms: int) -> None:
        """Count a message that was put into a lane."""
        self.counted["arrivals", lane, now_ms // 1000] += 1

    def start(self, lane: Lane, now_ms: int, *, waited_ms: int) -> None:
        """Count a message that was claimed."""
        self.counted["starts", lane, now_ms // 1000] += 1
        self.waits[lane, now_ms // 1000 // TEN, bucket_of(waited_ms)] += 1

    def end(self, kind: str, now_ms: int, count: int = 1) -> None:
        """Count what ended: `completions`, `failures`, `runs`, `run_us` or `run_ms2`."""
        self.counted[kind, None, now_ms // 1000] += count

    def settle(self, outcome: Outcome, now_ms: int) -> None:
        """Count how a lease ended."""
        if outcome in _KINDS:
            self.end(_KINDS[outcome], now_ms)

    def tally(self, now_ms: int) -> Tally:
        """Return the last ten minutes."""
        now = now_ms // 1000

        def seconds(kind: str, lane: Lane | None = None) -> Seconds:
            return [
                self.counted[kind, lane, second]
                for second in range(now - KEPT_SECONDS + 1, now + 1)
            ]

        lanes = tuple(
            LaneTally(
                arrivals=seconds("arrivals", lane),
                starts=seconds("starts", lane),
                waits=[
                    tuple(self.waits[lane, ten, bucket] for bucket in range(WAIT_BUCKETS))
                    for ten in range(now // TEN - KEPT_SECONDS // TEN, now // TEN + 1)
                ],
            )
            for lane in LANES
        )
        return Tally(second=now, lanes=lanes, **{kind: seconds(kind) for kind in _ENDED})
