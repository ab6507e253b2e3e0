"""`History`: what has happened to single messages so far, asked in windows that end now."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

import numpy as np

from octoqueue.primitives.histogram import WAIT_BUCKETS, bucket_of
from octoqueue.scaling.simulator.views import Service

if TYPE_CHECKING:
    from octoqueue.scaling.simulator.traces import Floats, Integers, RequestTrace

_MINUTE_SECONDS = 60.0
_SERVICE_WINDOW_SECONDS = 600.0


class History:
    """Arrivals, which are known at their moments, and starts and completions, which are told.

    What came before the trace is taken to be like its first minute.
    """

    def __init__(self, trace: RequestTrace, lanes: Integers) -> None:
        """Take the arrivals of a trace, of which nothing is told before its moment."""
        at = trace.arrived_seconds
        self.arrived: list[float] = at.tolist()
        self.lane_of: list[int] = lanes.tolist()
        self.lanes: tuple[int, ...] = tuple(int(lane) for lane in np.unique(lanes)) or (1,)
        self.started_at: list[float] = [math.inf] * len(self.arrived)
        """When each message was started first; infinite as long as it was not."""
        self.starts: list[int] = []
        """Messages in the order of their first starts."""
        self.done_at: list[float] = []
        self.ran_seconds: list[float] = []
        """Of those that ended, in the order of their ends; `ended` catches up with it."""
        self._sums, self._squares = array("d", [0.0]), array("d", [0.0])
        self._by_lane: dict[int | None, list[float]] = {None: self.arrived}
        for lane in self.lanes:
            self._by_lane[lane] = at[lanes == lane].tolist()
        first_seconds = min(_MINUTE_SECONDS, trace.duration_seconds)
        self._before: dict[int | None, float] = {
            lane: bisect_left(moments, first_seconds) / first_seconds
            for lane, moments in self._by_lane.items()
        }

    def arrivals(self, now: float, seconds: float, lane: int | None) -> float:
        """Return how many messages arrived in the `seconds` before `now`."""
        moments = self._by_lane.get(lane)
        if moments is None:
            return 0.0
        since = now - seconds
        count = bisect_right(moments, now) - bisect_right(moments, since)
        return count - since * self._before[lane] if since < 0 else count

    def completions(self, now: float, seconds: float) -> float:
        """Return how many ended in the `seconds` before `now`."""
        since = now - seconds
        count = len(self.done_at) - bisect_right(self.done_at, since)
        return count - since * self._before[None] if since < 0 else count

    def service(self, now: float) -> Service:
        """Return how long those ran that ended in the last ten minutes."""
        sums, squares = self._sums, self._squares
        for seconds in self.ran_seconds[len(sums) - 1 :]:
            sums.append(sums[-1] + seconds)
            squares.append(squares[-1] + seconds * seconds)
        first = bisect_right(self.done_at, now - _SERVICE_WINDOW_SECONDS)
        count = len(self.done_at) - first
        if not count:
            return Service(0, 0.0, 0.0)
        mean = (sums[-1] - sums[first]) / count
        variance = max((squares[-1] - squares[first]) / count - mean * mean, 0.0)
        return Service(count, mean, variance * count / (count - 1) if count > 1 else 0.0)

    def waits(self, now: float, lane: int | None) -> list[int]:
        """Return the histogram of the waits of what was started in the last minute."""
        counts = [0] * WAIT_BUCKETS
        started_at, arrived, lane_of = self.started_at, self.arrived, self.lane_of
        for message in reversed(self.starts):
            at = started_at[message]
            if at <= now - _MINUTE_SECONDS:
                break
            if lane is None or lane_of[message] == lane:
                counts[bucket_of(round((at - arrived[message]) * 1000))] += 1
        return counts

    def waited_seconds(self) -> Floats:
        """Return how long each message waited, in the order of arrival."""
        return np.asarray(np.array(self.started_at) - np.array(self.arrived), dtype=np.float64)
