"""Scaling signals: what was measured of queues and workers, each number with its age.

A reading is taken at one moment of the store's clock (`taken_at_ms`), in one round trip. What could
not be read is not here: who reads raises, and nobody downstream has to guess what a 0 means.

    QueueSignals   one queue: its lanes, what runs, how long it runs
    Presence       one worker: what it serves, how much room it has, what it would lose
    ArrivalForecast  what is expected to arrive, and how good such forecasts have been
    SignalReading  what one round trip has read: queues, and who works for them
    QueueMinute    one whole minute of one queue, for the history that forecasts learn from
    FleetSnapshot  all of it for one fleet at one moment: what a policy decides on
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from octoqueue.primitives.histogram import percentile_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octoqueue.primitives.lane import Lane

WINDOWS_SECONDS = (10, 60, 300, 600)
"""The windows in which events are counted; each ends at the moment of the reading."""

KEPT_SECONDS = 600
"""How long the seconds are kept one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many events there were in each of `WINDOWS_SECONDS`."""

    counts: tuple[int, ...] = (0,) * len(WINDOWS_SECONDS)

    def within(self, seconds: int) -> int:
        """Return how many there were in the last `seconds`, one of `WINDOWS_SECONDS`."""
        return self.counts[WINDOWS_SECONDS.index(seconds)]

    def per_second(self, seconds: int) -> float:
        """Return the mean rate in the last `seconds`, one of `WINDOWS_SECONDS`."""
        return self.within(seconds) / seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Waiting times of what was started in one window: a histogram, see `primitives/histogram`."""

    window_seconds: int
    counts: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        """How many were started."""
        return sum(self.counts)

    def percentile_seconds(self, q: float) -> float | None:
        """Return the `q`-quantile (0 < q <= 1), right to its bucket; None without a start."""
        quantile = percentile_ms(self.counts, q)
        return None if quantile is None else quantile / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSignals:
    """One lane of one queue."""

    lane: Lane
    waiting: int = 0
    held_back: int = 0
    """Of those waiting: what a tenant's share, a cap, a rate limit or the concurrency of the queue
    keeps from running, now and within `due_within_seconds`. More workers would not start them."""
    oldest_age_seconds: float = 0.0
    """0 when none waits."""
    arrivals: Counts = Counts()
    """What was put into the lane: enqueued, also as a follow-up, and delayed at first."""
    starts: Counts = Counts()
    """What was claimed from it."""
    waits: Waits = Waits(window_seconds=60)
    """Of what was claimed in the last minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTime:
    """How long attempts ran that ended in one window."""

    window_seconds: int
    count: int
    mean_seconds: float
    """0 without an attempt."""
    variance_seconds2: float
    """0 with fewer than two attempts."""

    @property
    def squared_variation(self) -> float | None:
        """Squared coefficient of variation; None with fewer than two attempts."""
        if self.count < 2 or self.mean_seconds <= 0:  # noqa: PLR2004 - a variance takes two
            return None
        return self.variance_seconds2 / self.mean_seconds**2


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSignals:
    """What is true of one queue at one moment."""

    queue: str
    taken_at_ms: int
    """When, by the store's clock."""
    lanes: Mapping[Lane, LaneSignals]
    """All lanes."""
    delayed: int = 0
    due_soon: int = 0
    """Of the delayed, those due within `due_within_seconds`."""
    due_within_seconds: int = 0
    in_flight: int = 0
    """Messages leased by workers; of the queue as a whole, as a lease does not tell its lane."""
    completions: Counts = Counts()
    """Acks."""
    failures: Counts = Counts()
    """Attempts that ended in a retry or a dead letter."""
    service: ServiceTime = ServiceTime(
        window_seconds=KEPT_SECONDS, count=0, mean_seconds=0.0, variance_seconds2=0.0
    )
    paused: bool = False

    @property
    def waiting(self) -> int:
        """Messages waiting in all lanes."""
        return sum(lane.waiting for lane in self.lanes.values())

    @property
    def in_system(self) -> int:
        """Messages that wait or run."""
        return self.waiting + self.in_flight


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """What a live worker last said of itself, with its heartbeat."""

    session: str
    name: str
    fleet: str
    """"" when it was started outside a fleet."""
    queues: tuple[str, ...]
    slots: int
    """Messages it runs at the same time, at most."""
    running: int
    started_at_ms: int
    ready_at_ms: int
    """When it could claim for the first time; with `started_at_ms` its start-up time."""
    said_at_ms: int
    """When it said this, by the store's clock."""
    is_draining: bool = False
    """It claims nothing more."""
    at_risk_seconds: float = 0.0
    """Work that would be lost with it: running time since the last checkpoints, added up."""
    at_risk_cost: float = 0.0
    """What that work has cost so far, in the unit of the actors' `spent`."""
    at_risk_longest_seconds: float = 0.0
    """Of the running time at risk, that of the one message that would lose most."""
    requests_per_second: float = 0.0
    """Of an HTTP edge: requests it answered; 0 for a worker."""
    host: str = ""
    """Name of the machine, or of the pod."""
    pid: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether it claims."""
        return not self.is_draining


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReading:
    """What one round trip has read."""

    taken_at_ms: int
    """When, by the store's clock; of several clocks the earliest."""
    queues: tuple[QueueSignals, ...]
    """In the order in which they were asked for."""
    workers: tuple[Presence, ...] = ()
    """Live sessions that serve one of the queues or belong to the fleet, by name."""
    unreadable_presences: int = 0
    """Sessions whose presence could not be decoded; they are left out of `workers`."""


MINUTES_KEPT = 9
"""How many whole minutes can be read back, as the seconds of no more are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneMinute:
    """What happened in one lane in one minute."""

    arrivals: int = 0
    starts: int = 0
    waits: tuple[int, ...] = ()
    """How long those waited that were started: buckets of `primitives/histogram`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMinute:
    """What happened in one queue in one minute that is over.

    A minute in which nothing happened is all 0; one before the queue was first used is, too.
    """

    queue: str
    starts_at_ms: int
    """By the store's clock, a multiple of 60,000."""
    lanes: Mapping[Lane, LaneMinute]
    """All lanes."""
    completions: int = 0
    failures: int = 0
    runs: int = 0
    """Attempts whose running time is in the sums below."""
    run_us: int = 0
    """Their running times, added up, in microseconds."""
    run_ms2: int = 0
    """The squares of their running times in milliseconds, added up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedArrivals:
    """Arrivals expected in one minute, a second."""

    starts_at_ms: int
    per_second: float
    low_per_second: float
    high_per_second: float
    """The interval that a forecast of this kind has held so often as `ArrivalForecast` says."""
    follows: float = 0.0
    """Of the n-th minute: how the n-th minute after the running one follows it. When the running
    one brings x times what was expected of it, the other is expected to bring x to this power."""
    spread: float = 0.0
    """Of the n-th minute: how large errors of the n-th minute after the running one are expected to
    be, as logarithms, once it is known what the running one brings; 0 is unknown. Of the first:
    how far the running one is from what is expected of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalForecast:
    """What is expected to arrive in the queues of a fleet."""

    made_at_ms: int
    minutes: tuple[ExpectedArrivals, ...]
    """The coming minutes in order, the first one that in which it was made."""
    interval: float
    """How often the interval should hold, e.g. 0.9."""
    skill_against_now: float
    """1 - error / error of "same as now"; above 0 the forecast is better."""
    skill_against_last_week: float
    """1 - error / error of "same as last week"; above 0 the forecast is better."""
    scored_minutes: int
    """From how many minutes the skill is known."""
    scored_beside_week: int = 0
    """From how many minutes that against last week is known, those of old counting less."""
    offset_per_second: float = 0.0
    """Added before logarithms are taken: a change as large as noise says little."""
    tail: tuple[tuple[float, float], ...] = ()
    """With which probability an error was larger than how many spreads; probabilities fall."""
    highest_per_second: float = 0.0
    """The largest of the last ten minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSnapshot:
    """All signals of one fleet at one moment."""

    fleet: str
    taken_at_ms: int
    queues: tuple[QueueSignals, ...]
    workers: tuple[Presence, ...] = ()
    """Of the fleet, or of no fleet, and alive; draining ones included."""
    forecast: ArrivalForecast | None = None
    """None when there is none, or none that was read."""
    lead_seconds: float | None = None
    """Measured: from a wish for more workers to their being ready; None when never seen."""
    wanted_since: tuple[tuple[int, int], ...] = ()
    """How many workers were wanted in all, and since when by the store's clock, as long as fewer
    are ready; the smallest number first."""

    def age_seconds(self, now_ms: int) -> float:
        """Return how old it is; 0 when a clock was set back meanwhile."""
        return max(0, now_ms - self.taken_at_ms) / 1000

    @property
    def in_system(self) -> int:
        """Messages that wait or run."""
        return sum(queue.in_system for queue in self.queues)

    @property
    def ready_workers(self) -> int:
        """Workers that claim."""
        return sum(worker.is_ready for worker in self.workers)

    @property
    def ready_slots(self) -> int:
        """Messages that the ready workers run at the same time."""
        return sum(worker.slots for worker in self.workers if worker.is_ready)
