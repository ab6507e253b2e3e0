"""`Load`: what a fleet has to do, added up over its queues.

The rules do arithmetic on a load, not on a snapshot, so that the same arithmetic answers for what
is there now and for what a forecast expects.

A paused queue's waiting and delayed messages and its arrivals are left out: nobody can claim them.
What already runs of it counts. So is what waits at a closed gate: more workers would not start it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from math import isnan, sqrt
from typing import TYPE_CHECKING

from octoqueue.primitives.histogram import percentile_ms
from octoqueue.primitives.lane import LANES
from octoqueue.primitives.signals import KEPT_SECONDS, WINDOWS_SECONDS

if TYPE_CHECKING:
    from octoqueue.primitives.signals import FleetSnapshot, QueueSignals
    from octoqueue.scaling.policy import ScalingPolicy

_SURE_DEVIATIONS, _LIKELY_DEVIATIONS = 3.0, 1.0
_MANY = 100
_FIVE_MINUTES, _MINUTE, _TEN_SECONDS = 300, 60, 10
LATELY_SECONDS = _TEN_SECONDS
_LONGEST_LEAD_SECONDS, _LONGEST_LEAD_START_UPS = 600.0, 10.0
"""A measured lead time counts up to the longer of both, the second in `start_up_seconds`."""
_LONG_RUN_MEANS = 10
"""What has run for this many mean running times says that the mean is not of its kind."""
_UNLIKE = 30
"""Queues whose mean running times are this far apart have no mean in common that says much."""
_ASSUMED_ATTEMPTS = 10
"""Attempts of an exponential distribution that are mixed into the variance that was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How long a message runs."""

    mean_seconds: float
    squared_variation: float = 1.0
    """Variance over mean squared; 1, that of an exponential distribution, when never measured."""
    is_measured: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a fleet has to do at one moment."""

    waiting: tuple[float, ...]
    """Messages a lane, by its wire value."""
    per_second: tuple[float, ...]
    """Arrivals a lane."""
    due_soon: float
    """Delayed messages, of any lane, that are due before a new worker is ready."""
    in_flight: float
    requests_per_second: float
    """What HTTP edges answered."""
    service: Service | None
    """None when it was neither measured nor given."""
    ready_workers: int
    ready_slots: int
    lead_seconds: float
    """Until a new worker is ready."""
    lead_is_measured: bool
    waits: tuple[int, ...] = ()
    """How long what was claimed lately had waited: a histogram, see `primitives/histogram`."""
    oldest_seconds: float = 0.0
    """How long the oldest waits that waits."""
    paused: tuple[str, ...] = ()
    """Queues whose waiting messages are left out."""
    paused_waiting: int = 0
    """How many those are."""
    unlike_seconds: tuple[float, float] | None = None
    """Mean running times of the queues with the shortest and the longest, where far apart."""
    long_running: int = 0
    """Of those in flight: at least so many have run much longer than is measured of what ended."""
    held_back: int = 0
    """Waiting messages of other queues that are left out, as tenants, caps and limits hold them."""
    arrived_lately: float = 0.0
    """Messages that arrived within `LATELY_SECONDS`."""
    coming_slot_seconds: float = 0.0
    """What slots that were asked for, and are not ready yet, can work until a worker asked for now
    would be ready."""
    asked_slots: int = 0
    """Slots of the workers that were asked for and of those that are ready, together; 0 when all
    that were asked for are ready."""

    @property
    def in_system(self) -> float:
        """Messages that wait, run or are due before a new worker is ready."""
        return sum(self.waiting) + self.in_flight + self.due_soon

    @property
    def arrivals_per_second(self) -> float:
        """Arrivals of all lanes."""
        return sum(self.per_second)

    def wait_seconds(self, percentile: float) -> float:
        """Return the observed wait at a percentile; how long the oldest waits when none started."""
        observed = percentile_ms(self.waits, percentile)
        return self.oldest_seconds if observed is None else observed / 1000


def lead_of(policy: ScalingPolicy, measured: float | None) -> float:
    """Return how far to look ahead, in seconds: until a worker asked for now would be ready.

    Very long ones were measured where there was no room for a worker, not of one that started. To
    believe them would make a fleet wait for what its ready workers do in hours, and never grow.
    """
    if measured is None or isnan(measured):
        return policy.start_up_seconds
    longest = max(_LONGEST_LEAD_SECONDS, _LONGEST_LEAD_START_UPS * policy.start_up_seconds)
    return min(max(measured, 0.0), longest)


def load_of(snapshot: FleetSnapshot, policy: ScalingPolicy) -> Load:
    """Return what the policy's queues and the fleet's workers give a fleet to do."""
    served = [queue for queue in snapshot.queues if queue.queue in policy.queues]
    open_ones = [queue for queue in served if not queue.paused]
    paused = [queue for queue in served if queue.paused]
    open_lanes = [lane for queue in open_ones for lane in queue.lanes.values()]
    ready = [worker for worker in snapshot.workers if worker.is_ready]
    measured = snapshot.lead_seconds
    lead = lead_of(policy, measured)
    service = _service(open_ones or served, policy)
    return Load(
        waiting=tuple(
            float(sum(_waiting(queue, lane) for queue in open_ones)) for lane in range(len(LANES))
        ),
        per_second=tuple(
            sum(_per_second(queue, lane, lead_seconds=lead) for queue in open_ones)
            for lane in range(len(LANES))
        ),
        due_soon=sum(max(queue.due_soon, 0) for queue in open_ones),
        in_flight=sum(max(queue.in_flight, 0) for queue in served),
        requests_per_second=sum(max(worker.requests_per_second, 0.0) for worker in ready),
        service=service,
        ready_workers=len(ready),
        ready_slots=sum(worker.slots for worker in ready),
        lead_seconds=lead,
        lead_is_measured=measured is not None,
        waits=_added([lane.waits.counts for lane in open_lanes]),
        oldest_seconds=max((lane.oldest_age_seconds for lane in open_lanes), default=0.0),
        paused=tuple(queue.queue for queue in paused),
        paused_waiting=sum(queue.waiting for queue in paused),
        unlike_seconds=_unlike(open_ones),
        long_running=_long_running(served, service),
        held_back=sum(lane.held_back for lane in open_lanes),
        arrived_lately=float(sum(_arrived_lately(queue) for queue in open_ones)),
        coming_slot_seconds=policy.slots_per_worker
        * _coming_worker_seconds(snapshot, ready=len(ready), lead_seconds=lead),
        asked_slots=policy.slots_per_worker
        * max((workers for workers, _ in snapshot.wanted_since), default=0),
    )


def _added(histograms: list[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sum(counts) for counts in zip_longest(*histograms, fillvalue=0))


def _waiting(queue: QueueSignals, lane: int) -> int:
    signals = queue.lanes.get(LANES[lane])
    return max(signals.waiting - signals.held_back, 0) if signals else 0


def _coming_worker_seconds(snapshot: FleetSnapshot, *, ready: int, lead_seconds: float) -> float:
    """Return for how long those can work that were asked for before, added up.

    One that was asked for t ago is ready t earlier than one that is asked for now.
    """
    seconds, counted = 0.0, ready
    for workers, since_ms in snapshot.wanted_since:
        ago = max(snapshot.taken_at_ms - since_ms, 0) / 1000
        seconds += max(workers - counted, 0) * min(ago, lead_seconds)
        counted = max(counted, workers)
    return seconds


def _arrived_lately(queue: QueueSignals) -> int:
    return sum(max(lane.arrivals.within(_TEN_SECONDS), 0) for lane in queue.lanes.values())


def _per_second(queue: QueueSignals, lane: int, *, lead_seconds: float) -> float:
    """Return the arrival rate now; it never falls when a count rises.

    The mean of the last five minutes; more when the last minute is above it: a hundred messages
    count as they are, fewer less one standard deviation of a Poisson count. The last ten seconds
    count, less three, while a new worker is ready within a minute: a burst that is shorter is over
    before anybody can help.
    """
    signals = queue.lanes.get(LANES[lane])
    if signals is None:
        return 0.0
    arrivals = signals.arrivals
    minute = arrivals.within(_MINUTE)
    rates = [
        max(arrivals.within(_FIVE_MINUTES), 0) / _FIVE_MINUTES,
        (minute if minute >= _MANY else _surely(minute, _LIKELY_DEVIATIONS)) / _MINUTE,
    ]
    if lead_seconds < _MINUTE:
        rates.append(_surely(arrivals.within(_TEN_SECONDS), _SURE_DEVIATIONS) / _TEN_SECONDS)
    return max(rates)


def _surely(count: int, deviations: float) -> float:
    """Return a Poisson count less so many of its standard deviations."""
    return max(count - deviations * sqrt(max(count, 0)), 0.0)


def _service(queues: list[QueueSignals], policy: ScalingPolicy) -> Service | None:
    """Return how long a message of any of the queues runs.

    A mixture: queues weigh as much as they have ended attempts. So a queue that is new weighs
    nothing until its first messages have ended.
    """
    measured = [queue.service for queue in queues if queue.service.count > 0]
    count = sum(service.count for service in measured)
    mean = sum(s.count * s.mean_seconds for s in measured) / count if count else 0.0
    if mean <= 0:
        given = policy.service_seconds
        return None if given is None else Service(mean_seconds=given, is_measured=False)
    second = sum(s.count * (s.variance_seconds2 + s.mean_seconds**2) for s in measured) / count
    # One attempt has no variance, and a handful says little of it: some exponential ones are added.
    variation = max(second / mean**2 - 1.0, 0.0)
    return Service(
        mean_seconds=mean,
        squared_variation=(count * variation + _ASSUMED_ATTEMPTS) / (count + _ASSUMED_ATTEMPTS),
    )


def _unlike(queues: list[QueueSignals]) -> tuple[float, float] | None:
    means = [q.service.mean_seconds for q in queues if q.service.count and q.service.mean_seconds]
    return (min(means), max(means)) if means and max(means) >= _UNLIKE * min(means) else None


def _long_running(queues: list[QueueSignals], service: Service | None) -> int:
    """Return how many messages have run for ten times the mean of those that ended, or longer.

    At least: what runs and is not among those that were started lately. A queue that says of no
    start at all says nothing of this.
    """
    if service is None or not service.is_measured:
        return 0
    long_seconds = _LONG_RUN_MEANS * service.mean_seconds
    window = next((seconds for seconds in WINDOWS_SECONDS if seconds >= long_seconds), None)
    found = 0
    for queue in queues:
        starts = [lane.starts for lane in queue.lanes.values()]
        if window is not None and any(count.within(KEPT_SECONDS) for count in starts):
            found += max(queue.in_flight - sum(count.within(window) for count in starts), 0)
    return found
