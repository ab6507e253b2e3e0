"""The fluid model: work as a continuous flow through the ready slots.

Between two events (a step's edge, a sync, a worker that gets ready) arrivals and capacity are
constant, so the backlog is a straight line and its end is computed, not approximated. Nothing
depends on a time step: cutting an interval in two changes no number.

Weakness: a worker that leaves hands its work to the others at once, and a slot may do part of a
message. With few messages that run long, take the model of single messages.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from octoqueue.primitives.histogram import WAIT_BUCKETS, bucket_of
from octoqueue.scaling.simulator.crew import Crew
from octoqueue.scaling.simulator.views import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from octoqueue.scaling.simulator.fleets import Durations, FleetModel
    from octoqueue.scaling.simulator.loops import Loop
    from octoqueue.scaling.simulator.traces import Floats, StepTrace
    from octoqueue.scaling.simulator.views import Rule

_NOTHING = 1e-9
"""Work, in seconds, that is the rest of a subtraction and not work."""

_WINDOW_SECONDS = 600
_LANE = 1


class Flow:
    """One run of the fluid model; it is the view of its rule, too."""

    lanes: Sequence[int] = (_LANE,)

    def __init__(
        self,
        trace: StepTrace,
        *,
        service: Durations,
        model: FleetModel,
        generator: np.random.Generator,
    ) -> None:
        """Prepare; what came before the trace is taken to be like its first step."""
        step, work = trace.step_seconds, trace.work_seconds(service.mean_seconds)
        self.step_seconds = step
        self.starts_at_ms = trace.starts_at_ms
        self.end_seconds = trace.duration_seconds
        self.slots = model.slots
        self.arrived_work: Floats = np.concatenate(([0.0], np.cumsum(work)))
        """At each step's edge, since the beginning."""
        self.redone_messages = 0.0
        self.unread_syncs = 0
        self.now_seconds = 0.0
        self._model = model
        self._generator = generator
        self._rates: list[float] = (work / step).tolist()
        self._work: list[float] = self.arrived_work.tolist()
        self._messages: list[float] = np.concatenate(([0.0], np.cumsum(trace.messages))).tolist()
        self._service = self._mean_service(trace, service)
        self._variation = service.squared_variation
        self._rate_seen = self._rates[0] if self._rates else 0.0
        """Until now: at an edge what runs is still what came before it."""
        first = math.ceil(self._rates[0] / model.slots + 1 - _NOTHING) if self._rates else 1
        size = model.initial_workers
        if size is None:
            size = min(max(first, model.min_workers), model.max_workers)
        self.crew = Crew(model, size=size, generator=generator)
        self._step = 0
        self._done = 0.0
        self._waiting = 0.0
        self._at, self._done_at = array("d", [0.0]), array("d", [0.0])
        self._busy_elsewhere: list[tuple[float, int]] = []
        """When slots begin (+) and end (-) to repeat what died with a worker."""
        self._slots_taken = 0
        self._hazard = self._next_hazard()
        self._paid_slots = 0.0
        self._looked_at_done, self._looked_at_slots = 0.0, 0.0
        self._oldest_step = 0
        self._started: deque[tuple[float, float, float]] = deque()
        self._seen_done = 0.0

    def run(
        self, rule: Rule, loop: Loop, *, progress: Callable[[float], None] | None = None
    ) -> None:
        """Go from the beginning of the trace to its end."""
        model, crew, sync = self._model, self.crew, self._model.sync_seconds
        syncs, next_sync = 0, 0.0
        while self.now_seconds < self.end_seconds - _NOTHING:
            if self.now_seconds >= next_sync - _NOTHING:
                if progress is not None and syncs % 1000 == 0:
                    progress(self.now_seconds)
                self._note_started()
                is_out = bool(model.outages) and model.is_out(self.now_seconds)
                self.unread_syncs += is_out
                wanted = None if is_out else rule.wanted(self)
                size = loop.size(wanted, now_seconds=self.now_seconds, current=crew.size)
                if size != crew.size:
                    crew.resize(size, now_seconds=self.now_seconds)
                self._looked_at_done, self._looked_at_slots = self._done, self._paid_slots
                syncs += 1
                next_sync = syncs * sync
            self._advance(min(next_sync, self._next_event()))

    def run_out(self) -> None:
        """Let the fleet as it is do what waits; what it never can, waits for ever."""
        self._hazard = math.inf
        self._rates.append(0.0)
        self._work.append(self._work[-1])
        self._step = len(self._rates) - 1
        while self._waiting > 0:
            following = self.crew.starting[0] if self.crew.starting else math.inf
            if self._busy_elsewhere:
                following = min(following, self._busy_elsewhere[0][0])
            if self.capacity:
                done = self.now_seconds + self._waiting / self.capacity
                if done <= self.now_seconds:  # so little that the clock cannot tell it
                    self._done = self._done_at[-1] = self._work[-1]
                    self._waiting = 0.0
                    return
                following = min(following, done)
            if following == math.inf:
                return
            self._advance(following)

    # The record ------------------------------------------------------------------------------

    def done_log(self) -> tuple[Floats, Floats]:
        """Return moments, and the work done until then; straight lines between them."""
        return np.array(self._at), np.array(self._done_at)

    @property
    def capacity(self) -> int:
        """Slots that take work."""
        return max(0, self.crew.ready * self.slots - self._slots_taken)

    @property
    def waiting_work(self) -> float:
        """Seconds of work that wait."""
        return self._waiting

    # Events ----------------------------------------------------------------------------------

    def _next_event(self) -> float:
        moment = (self._step + 1) * self.step_seconds
        if self.crew.starting:
            moment = min(moment, self.crew.starting[0])
        if self._busy_elsewhere:
            moment = min(moment, self._busy_elsewhere[0][0])
        if self._hazard < math.inf and self.crew.ready:
            moment = min(moment, self.now_seconds + self._hazard / self._hazard_rate())
        return moment

    def _advance(self, until: float) -> None:
        self._flow(until)
        if (
            until >= (self._step + 1) * self.step_seconds - _NOTHING
            and self._step < len(self._rates) - 1
        ):
            self._step += 1
        if self.crew.starting:
            self.crew.greet(now_seconds=until)
        while self._busy_elsewhere and self._busy_elsewhere[0][0] <= until:
            self._slots_taken += heappop(self._busy_elsewhere)[1]
        if self._hazard <= _NOTHING and self.crew.ready:
            self._lose_worker()

    def _flow(self, until: float) -> None:
        now, done, waiting = self.now_seconds, self._done, self._waiting
        seconds = until - now
        if seconds <= 0:
            return
        rate, capacity = self._rates[self._step], self.capacity
        self._rate_seen = rate
        if self._hazard < math.inf:
            self._hazard -= seconds * self._hazard_rate()
        self._paid_slots += seconds * self.crew.ready * self.slots
        arrived = self._work[self._step] + rate * (until - self._step * self.step_seconds)
        left = waiting + (rate - capacity) * seconds
        if left > _NOTHING:
            done += capacity * seconds
            waiting = left
        else:
            if waiting > 0:
                empty_after = waiting / (capacity - rate)
                if empty_after < seconds:
                    self._at.append(now + empty_after)
                    self._done_at.append(done + capacity * empty_after)
            done, waiting = arrived, 0.0
        self._at.append(until)
        self._done_at.append(done)
        self.now_seconds, self._done, self._waiting = until, done, waiting

    def _hazard_rate(self) -> float:
        return self.crew.ready * self._model.failures_per_worker_hour / 3600

    def _next_hazard(self) -> float:
        """Return the hazard that the fleet lives through until its next failure."""
        if self._model.failures_per_worker_hour <= 0:
            return math.inf
        return float(self._generator.exponential())

    def _lose_worker(self) -> None:
        busy = min(1.0, self._busy_slots() / max(1, self.crew.ready * self.slots)) * self.slots
        self.crew.lose_one(now_seconds=self.now_seconds)
        self._hazard = self._next_hazard()
        self.redone_messages += busy
        # What runs at a random moment has run for this long on average.
        elapsed = self._service / 2 * (1 + self._variation)
        noticed = self.now_seconds + self._model.lease_seconds
        slots = round(busy)
        if slots and elapsed > 0:
            heappush(self._busy_elsewhere, (noticed, slots))
            heappush(self._busy_elsewhere, (noticed + elapsed, -slots))

    # The view --------------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """Those that are ready and those that start."""
        return self.crew.size

    @property
    def ready(self) -> int:
        """Those that claim."""
        return self.crew.ready

    def waiting(self, lane: int | None = None) -> float:
        """Return how many messages wait."""
        return self._waiting / self._service if lane in (None, _LANE) else 0.0

    def in_flight(self) -> float:
        """Return how many messages run."""
        return self._busy_slots()

    def running(self) -> Sequence[int]:
        """Return how many messages each ready worker runs: they fill one after the other."""
        busy, slots = round(self._busy_slots()), self.slots
        full, rest = divmod(busy, slots)
        running = [slots] * full + ([rest] if rest else [])
        return (running + [0] * (self.crew.ready - len(running)))[: self.crew.ready]

    def ready_since(self) -> Sequence[float]:
        """Return since when each ready worker has been, the oldest first."""
        return self.crew.ready_since

    def at_risk_seconds(self) -> Sequence[float]:
        """Return nothing: a flow loses nothing when a worker leaves."""
        return ()

    def oldest_age_seconds(self, lane: int | None = None) -> float:
        """Return how long the work has waited that is done next."""
        if self._waiting <= 0 or lane not in (None, _LANE):
            return 0.0
        work, step = self._work, self._oldest_step
        while step < self._step and work[step + 1] <= self._done:
            step += 1
        self._oldest_step = step
        rate = self._rates[step]
        within = (self._done - work[step]) / rate if rate > 0 else 0.0
        return max(0.0, self.now_seconds - step * self.step_seconds - within)

    def arrived(self, seconds: float, lane: int | None = None) -> float:
        """Return how many messages arrived in the last `seconds`."""
        if lane not in (None, _LANE):
            return 0.0
        now = self.now_seconds
        return self._at_moment(self._messages, now) - self._at_moment(self._messages, now - seconds)

    def completed(self, seconds: float) -> float:
        """Return how many messages ended in the last `seconds`."""
        since = self.now_seconds - seconds
        if since >= 0:
            return (self._done - self._done_by(since)) / self._service
        return self._done / self._service - self._at_moment(self._messages, since)

    def service(self) -> Service:
        """Return how long they run, known from the beginning."""
        mean = self._service
        return Service(round(self.completed(_WINDOW_SECONDS)), mean, self._variation * mean**2)

    def load(self, seconds: float) -> float:
        """Return how many workers the arrivals of the last `seconds` keep busy."""
        now, work = self.now_seconds, self._work
        arrived = self._at_moment(work, now) - self._at_moment(work, now - seconds)
        return arrived / seconds / self.slots

    def utilization(self) -> float:
        """Return which share of the ready slots was busy since the last decision."""
        slots = self._paid_slots - self._looked_at_slots
        if slots <= 0:
            return min(1.0, self._busy_slots() / max(1, self.crew.ready * self.slots))
        return min(1.0, (self._done - self._looked_at_done) / slots)

    def waits(self, lane: int | None = None) -> Sequence[int]:
        """Return the histogram of what was started in the last minute."""
        counts = [0] * WAIT_BUCKETS
        if lane in (None, _LANE):
            for _, messages, wait in self._started:
                counts[bucket_of(round(wait * 1000))] += round(messages)
        return counts

    def _note_started(self) -> None:
        started, now = self._started, self.now_seconds
        started.append((now, (self._done - self._seen_done) / self._service, self._age()))
        self._seen_done = self._done
        while started[0][0] <= now - 60:
            started.popleft()

    def _age(self) -> float:
        return self.oldest_age_seconds()

    def _busy_slots(self) -> float:
        capacity = self.capacity
        if self._waiting > 0:
            return capacity
        return min(self._rate_seen, capacity)

    def _at_moment(self, edges: list[float], moment: float) -> float:
        """Return a cumulative count at a moment; before the trace it is like the first step."""
        step = int(moment // self.step_seconds) if moment > 0 else 0
        if step >= len(edges) - 1:
            return edges[-1]
        share = moment / self.step_seconds - step
        return edges[step] + (edges[step + 1] - edges[step]) * share

    def _done_by(self, moment: float) -> float:
        at, done = self._at, self._done_at
        after = bisect_right(at, moment)
        if after >= len(at):
            return done[-1]
        before = after - 1
        seconds = at[after] - at[before]
        share = (moment - at[before]) / seconds if seconds > 0 else 0.0
        return done[before] + (done[after] - done[before]) * share

    @staticmethod
    def _mean_service(trace: StepTrace, service: Durations) -> float:
        messages = float(trace.messages.sum())
        work = float(trace.work_seconds(service.mean_seconds).sum())
        return work / messages if work > 0 else max(service.mean_seconds, _NOTHING)
