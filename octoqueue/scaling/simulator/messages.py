"""The model of single messages: each waits for a slot, highest lane first, and runs for its time.

    arrivals ──► lanes ──► idle slots ──► completions
                   ▲                          │
                   └─── lease over ◄─── worker died

A worker that is let go finishes what it runs, claims nothing more, and is paid until then. What a
worker ran when it died is done again from its beginning once its lease is over, ahead of its lane.

Weakness: a claim takes no time, and within a lane the order is exactly that of arrival.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING

import numpy as np

from octoqueue.primitives.lane import LANES
from octoqueue.scaling.simulator.hands import Hands
from octoqueue.scaling.simulator.histories import History

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from octoqueue.scaling.simulator.fleets import FleetModel
    from octoqueue.scaling.simulator.loops import Loop
    from octoqueue.scaling.simulator.traces import Floats, RequestTrace
    from octoqueue.scaling.simulator.views import Rule, Service

_NOTHING = 1e-9
_FIRST_SECONDS = 60.0
_NORMAL = 1


class Messages:
    """One run of the model of single messages; it is the view of its rule, too."""

    def __init__(
        self,
        trace: RequestTrace,
        *,
        service_seconds: Floats,
        model: FleetModel,
        generator: np.random.Generator,
    ) -> None:
        """Prepare.

        Args:
            trace: what arrives.
            service_seconds: how long each message runs.
            model: the fleet.
            generator: for start-ups and failures.
        """
        self.starts_at_ms = trace.starts_at_ms
        self.end_seconds = trace.duration_seconds
        self.slots = model.slots
        self.now_seconds = 0.0
        self.redone_messages = 0
        self.unread_syncs = 0
        self._model = model
        self._generator = generator
        count = len(trace.arrived_seconds)
        lanes = np.full(count, _NORMAL, dtype=np.int64) if trace.lanes is None else trace.lanes
        self.history = History(trace, lanes)
        self._seconds: list[float] = service_seconds.tolist()
        self._mean_seconds = float(service_seconds.mean()) if count else 0.0
        self._waiting: tuple[deque[int], ...] = tuple(deque[int]() for _ in LANES)
        self._run: list[tuple[float, int, int]] = []
        """Heap of what runs: its end, its worker, the message."""
        self._lost: list[tuple[float, int]] = []
        """Heap of what died with its worker, and when that is noticed."""
        self._next = 0
        size = model.initial_workers
        if size is None:
            early = int(np.searchsorted(trace.arrived_seconds, _FIRST_SECONDS))
            load = float(service_seconds[:early].sum()) / _FIRST_SECONDS / model.slots
            size = min(max(math.ceil(load + 1), model.min_workers), model.max_workers)
        self.hands = Hands(model, size=size, generator=generator)
        self._busy_area = 0.0
        """Busy slot-seconds so far, less `now` for each slot that is busy now."""
        self._ready_area = 0.0
        self._looked_at = (0.0, 0.0)
        self._hazard = self._next_hazard()

    def run(
        self, rule: Rule, loop: Loop, *, progress: Callable[[float], None] | None = None
    ) -> None:
        """Go from the beginning of the trace to its end, and on until all is started."""
        model, hands = self._model, self.hands
        syncs, next_sync = 0, 0.0
        while self.now_seconds < self.end_seconds - _NOTHING:
            if self.now_seconds >= next_sync - _NOTHING:
                if progress is not None and syncs % 100 == 0:
                    progress(self.now_seconds)
                is_out = bool(model.outages) and model.is_out(self.now_seconds)
                self.unread_syncs += is_out
                wanted = None if is_out else rule.wanted(self)
                size = loop.size(wanted, now_seconds=self.now_seconds, current=hands.size)
                if size != hands.size:
                    hands.resize(size, now_seconds=self.now_seconds)
                    self._dispatch()
                self._looked_at = (self._busy_seconds(), self._ready_area)
                syncs += 1
                next_sync = syncs * model.sync_seconds
            self._advance(min(next_sync, self._next_event(), self.end_seconds))

    def run_out(self) -> None:
        """Let the fleet as it is start what still waits; what it never can, waits for ever."""
        self._hazard = math.inf
        while self._lost or any(self._waiting):
            following = self._next_event()
            if self._run:
                following = min(following, self._run[0][0])
            if following == math.inf:
                return
            self._advance(following)

    @property
    def waiting_messages(self) -> int:
        """Messages that wait, or whose worker died."""
        return sum(map(len, self._waiting)) + len(self._lost)

    def left_work_seconds(self) -> float:
        """Return the work that is not done: of what waits, and the rest of what runs."""
        waiting = sum(self._seconds[message] for lane in self._waiting for message in lane)
        lost = sum(self._seconds[message] for _, message in self._lost)
        return waiting + lost + sum(end - self.now_seconds for end, _, _ in self._run)

    # Events ----------------------------------------------------------------------------------

    def _next_event(self) -> float:
        moment = self.hands.starting[0] if self.hands.starting else math.inf
        if self._lost:
            moment = min(moment, self._lost[0][0])
        if self._hazard < math.inf and self.hands.running:
            moment = min(moment, self.now_seconds + self._hazard / self._hazard_rate())
        return moment

    def _advance(self, until: float) -> None:
        self._serve(until)
        seconds = until - self.now_seconds
        self._ready_area += seconds * len(self.hands.running) * self.slots
        if self._hazard < math.inf:
            self._hazard -= seconds * self._hazard_rate()
        self.now_seconds = until
        is_changed = self.hands.greet(now_seconds=until)
        while self._lost and self._lost[0][0] <= until:
            message = heappop(self._lost)[1]
            self._waiting[self.history.lane_of[message]].appendleft(message)
            is_changed = True
        if is_changed:
            self._dispatch()
        if self._hazard <= _NOTHING and self.hands.running:
            self._lose_worker()

    def _serve(self, until: float) -> None:
        """Let arrive and end what does until then, in the order of time."""
        history, hands, waiting = self.history, self.hands, self._waiting
        arrived, lane_of, started_at = history.arrived, history.lane_of, history.started_at
        starts, done_at, ran = history.starts, history.done_at, history.ran_seconds
        seconds, run, idle, running = self._seconds, self._run, hands.idle, hands.running
        high, normal, low = waiting
        index, count, area = self._next, len(arrived), self._busy_area
        next_arrival = arrived[index] if index < count else math.inf
        while True:
            if run and run[0][0] <= next_arrival:
                now, worker, message = run[0]
                if now > until:
                    break
                done_at.append(now)
                ran.append(seconds[message])
                if worker not in running:
                    heappop(run)
                    area += now
                    hands.finished(worker, now_seconds=now)
                    continue
                lane = high or normal or low
                if lane:
                    message = lane.popleft()
                    heapreplace(run, (now + seconds[message], worker, message))
                    if started_at[message] == math.inf:
                        started_at[message] = now
                        starts.append(message)
                else:
                    heappop(run)
                    area += now
                    running[worker] -= 1
                    idle.append(worker)
                continue
            if next_arrival > until:
                break
            if idle:
                worker = idle.popleft()
                running[worker] += 1
                area -= next_arrival
                started_at[index] = next_arrival
                starts.append(index)
                heappush(run, (next_arrival + seconds[index], worker, index))
            else:
                waiting[lane_of[index]].append(index)
            index += 1
            next_arrival = arrived[index] if index < count else math.inf
        self._next, self._busy_area = index, area

    def _dispatch(self) -> None:
        """Let idle slots start what waits."""
        now, history, hands = self.now_seconds, self.history, self.hands
        for lane in self._waiting:
            while lane and hands.idle:
                message, worker = lane.popleft(), hands.idle.popleft()
                hands.running[worker] += 1
                self._busy_area -= now
                if history.started_at[message] == math.inf:
                    history.started_at[message] = now
                    history.starts.append(message)
                heappush(self._run, (now + self._seconds[message], worker, message))

    def _hazard_rate(self) -> float:
        return len(self.hands.running) * self._model.failures_per_worker_hour / 3600

    def _next_hazard(self) -> float:
        """Return the hazard that the fleet lives through until its next failure."""
        if self._model.failures_per_worker_hour <= 0:
            return math.inf
        return float(self._generator.exponential())

    def _lose_worker(self) -> None:
        now = self.now_seconds
        self._hazard = self._next_hazard()
        victim = list(self.hands.running)[int(self._generator.integers(len(self.hands.running)))]
        noticed = now + self._model.lease_seconds
        for _, worker, message in self._run:
            if worker == victim:
                heappush(self._lost, (noticed, message))
                self._busy_area += now
                self.redone_messages += 1
        self._run = [entry for entry in self._run if entry[1] != victim]
        heapify(self._run)
        self.hands.lose(victim, now_seconds=now)
        self._dispatch()

    def _busy_seconds(self) -> float:
        return self._busy_area + len(self._run) * self.now_seconds

    # The view --------------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """Those that are ready and those that start."""
        return self.hands.size

    @property
    def ready(self) -> int:
        """Those that claim."""
        return len(self.hands.running)

    @property
    def lanes(self) -> Sequence[int]:
        """The lanes in which anything ever arrives."""
        return self.history.lanes

    def waiting(self, lane: int | None = None) -> float:
        """Return how many messages wait."""
        return sum(map(len, self._waiting)) if lane is None else len(self._waiting[lane])

    def in_flight(self) -> float:
        """Return how many messages run, or are leased by workers that died."""
        return len(self._run) + len(self._lost)

    def running(self) -> Sequence[int]:
        """Return how many messages each ready worker runs."""
        return list(self.hands.running.values())

    def ready_since(self) -> Sequence[float]:
        """Return since when each ready worker has been, the oldest first."""
        return list(self.hands.ready_since.values())

    def at_risk_seconds(self) -> Sequence[float]:
        """Return how long each ready worker has run the message that it has run longest."""
        risks = dict.fromkeys(self.hands.running, 0.0)
        for end, worker, message in self._run:
            if worker in risks:
                ran = self.now_seconds - end + self._seconds[message]
                risks[worker] = max(risks[worker], ran)
        return list(risks.values())

    def oldest_age_seconds(self, lane: int | None = None) -> float:
        """Return how long the oldest message has waited; 0 when none waits."""
        lanes = self._waiting if lane is None else (self._waiting[lane],)
        arrived = [self.history.arrived[waiting[0]] for waiting in lanes if waiting]
        return self.now_seconds - min(arrived) if arrived else 0.0

    def arrived(self, seconds: float, lane: int | None = None) -> float:
        """Return how many messages arrived in the last `seconds`."""
        return self.history.arrivals(self.now_seconds, seconds, lane)

    def completed(self, seconds: float) -> float:
        """Return how many messages ended in the last `seconds`."""
        return self.history.completions(self.now_seconds, seconds)

    def service(self) -> Service:
        """Return how long they ran."""
        return self.history.service(self.now_seconds)

    def load(self, seconds: float) -> float:
        """Return how many workers the arrivals of the last `seconds` keep busy on average."""
        return self.arrived(seconds) * self._mean_seconds / seconds / self.slots

    def utilization(self) -> float:
        """Return which share of the ready slots was busy since the last decision."""
        busy, ready = self._looked_at
        slots = self._ready_area - ready
        if slots <= 0:
            return min(1.0, len(self._run) / max(1, self.ready * self.slots))
        return min(1.0, (self._busy_seconds() - busy) / slots)

    def waits(self, lane: int | None = None) -> Sequence[int]:
        """Return the histogram of what was started in the last minute."""
        return self.history.waits(self.now_seconds, lane)
