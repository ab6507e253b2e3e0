"""`Recorder`: from counters read again and again to the lines of a recording."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from octoqueue.lanes.protocol import LaneStore
from octoqueue.primitives.lane import LANES, Lane
from octoqueue.primitives.signals import WINDOWS_SECONDS, QueueSignals
from octoqueue.scaling.recording import Recorded, head_line, line_from

_COUNTERS: Final = ("enqueued", "runs", "run_us", "run_ms2")


class Recorder:
    """Remembers the counters of the look before.

    Totals are differences of counters, so nothing is lost however far apart two looks are. Of lanes
    there are only windows that overlap: a total is shared out by what is new in the shortest window
    that covers the time, which may put a message at its edge into a neighbouring lane.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.seconds, self.arrivals, self.runs, self.misses = 0.0, 0, 0, 0
        self._names: tuple[str, ...] = ()
        self._before: dict[str, Mapping[str, int]] = {}
        self._told: dict[str, deque[tuple[int, tuple[int, ...]]]] = {}
        """Of each queue, what was told of its lanes, and when: as far back as windows reach."""
        self._at_ms = 0
        self._every_ms, self._set_back_ms = 0, 0
        """By how much the store's clock was set back; the recording goes on as if it were not."""

    async def begin(self, store: LaneStore, names: Sequence[str], *, every_seconds: float) -> str:
        """Read for the first time; return the head of the recording.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        self._names = tuple(names)
        at_ms, signals, counters = await self._read(store)
        self._before, self._at_ms = counters, at_ms
        self._every_ms = round(every_seconds * 1000)
        for name, queue in signals.items():
            self._told[name] = deque([(at_ms, _in_window(queue, WINDOWS_SECONDS[0]))])
        return head_line(list(signals), every_seconds=every_seconds, starts_at_ms=at_ms) + "\n"

    async def look(self, store: LaneStore) -> str:
        """Return the lines of the time since the look before: one for each queue with events.

        Of a time without any there is one line, so that the recording tells that it went on.

        Raises:
            StoreUnavailable: the store cannot be reached; the next look covers this time, too.
        """
        read_at_ms, signals, counters = await self._read(store)
        at_ms = read_at_ms + self._set_back_ms
        if at_ms < self._at_ms:
            self._set_back_ms += self._at_ms + self._every_ms - at_ms
            at_ms = read_at_ms + self._set_back_ms
        seconds = (at_ms - self._at_ms) / 1000
        if seconds <= 0:  # two looks in one millisecond
            return ""
        recorded = [
            self._recorded(queue, counters[name], at_ms, seconds) for name, queue in signals.items()
        ]
        self._before, self._at_ms = counters, at_ms
        self.seconds += seconds
        self.arrivals += sum(sum(each.arrivals) for each in recorded)
        self.runs += sum(each.runs for each in recorded)
        told = [each for each in recorded if not each.is_quiet] or recorded[:1]
        return "".join(line_from(each) + "\n" for each in told)

    async def _read(
        self, store: LaneStore
    ) -> tuple[int, dict[str, QueueSignals], dict[str, Mapping[str, int]]]:
        names = self._names or tuple(await store.queues())
        reading = await store.read_signals(names, due_within=timedelta(0))
        found = await asyncio.gather(*(store.stats(name) for name in names))
        return (
            reading.taken_at_ms,
            {signals.queue: signals for signals in reading.queues},
            {stats.queue: stats.counters for stats in found},
        )

    def _recorded(
        self, signals: QueueSignals, counters: Mapping[str, int], at_ms: int, seconds: float
    ) -> Recorded:
        before = self._before.get(signals.queue, {})
        enqueued, runs, run_us, run_ms2 = (
            # Counters that fell began anew: the server has forgotten.
            max(counters.get(name, 0) - before.get(name, 0), 0)
            for name in _COUNTERS
        )
        return Recorded(
            queue=signals.queue,
            at_ms=at_ms,
            seconds=seconds,
            arrivals=self._shared(enqueued, signals, at_ms, seconds),
            runs=runs,
            run_seconds=run_us / 1e6,
            run_seconds2=run_ms2 / 1e6,
        )

    def _shared(
        self, total: int, signals: QueueSignals, at_ms: int, seconds: float
    ) -> tuple[int, ...]:
        """Return `total` shared out to the lanes, whole."""
        window = next((each for each in WINDOWS_SECONDS if each >= seconds), WINDOWS_SECONDS[-1])
        told = self._told.setdefault(signals.queue, deque())
        while told and told[0][0] <= at_ms - window * 1000:
            told.popleft()
        seen = [sum(lanes) for lanes in zip(*(lanes for _, lanes in told), strict=True)]
        now = _in_window(signals, window)
        new = [max(count - old, 0) for count, old in zip(now, seen or [0] * len(now), strict=True)]
        shares = _split(total, new if any(new) else now)
        told.append((at_ms, shares))
        return shares


def _in_window(signals: QueueSignals, window: int) -> tuple[int, ...]:
    return tuple(signals.lanes[lane].arrivals.within(window) for lane in LANES)


def _split(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Return whole shares of `total` by weights, the rests to those that lack most."""
    if not any(weights):
        weights = [int(lane is Lane.NORMAL) for lane in LANES]
    exact = [total * weight / sum(weights) for weight in weights]
    shares = [int(each) for each in exact]
    by_rest = sorted(range(len(exact)), key=lambda lane: shares[lane] - exact[lane])
    for lane in by_rest[: total - sum(shares)]:
        shares[lane] += 1
    return tuple(shares)
