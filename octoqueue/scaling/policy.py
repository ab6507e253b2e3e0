"""`ScalingPolicy`: what turns a snapshot into wanted workers, as data that validates itself."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Literal

from octoqueue.scaling.behavior import KUBERNETES_DEFAULT, Behavior

if TYPE_CHECKING:
    from octoqueue.primitives.lane import Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthTarget:
    """So many messages a worker: those that wait, run or are due before a new worker is ready."""

    messages_per_worker: float

    def __post_init__(self) -> None:
        _require_positive("messages_per_worker", self.messages_per_worker)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTarget:
    """The observed waiting time at a percentile stays below a bound."""

    seconds: float
    percentile: float = 0.95

    def __post_init__(self) -> None:
        _require_positive("seconds", self.seconds)
        _require_share("percentile", self.percentile)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTarget:
    """So many events a second and worker: requests of an HTTP edge, or arrivals in queues."""

    per_second_and_worker: float

    def __post_init__(self) -> None:
        _require_positive("per_second_and_worker", self.per_second_and_worker)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """`percentile` of the messages of a lane start, or are finished, within `seconds`."""

    seconds: float
    percentile: float = 0.95
    lane: Lane | None = None
    """None: of all lanes together."""
    drain_seconds: float | None = None
    """In which time, once new workers are ready, what waits is to be started; None: `seconds`."""
    of: Literal["start", "finish"] = "start"
    """What is promised: when messages start, or when they are finished (running included)."""

    def __post_init__(self) -> None:
        _require_positive("seconds", self.seconds)
        _require_share("percentile", self.percentile)
        if self.drain_seconds is not None:
            _require_positive("drain_seconds", self.drain_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastUse:
    """Whether and how cautiously a forecast of arrivals is followed."""

    quantile: float = 0.9
    """Which arrivals to be ready for: 0.5 is the expected ones, higher is more cautious."""
    missed_minute_costs: float | None = None
    """How many minutes of a worker it may cost to meet one more minute. Then more are missed where
    that saves many workers, fewer where it saves few; None: `quantile` says it for all."""
    least_skill: float = 0.0
    """Skill against "same as now", and against "same as last week" once that has been compared for
    `least_scored_minutes`, too, below which it is not used."""
    least_scored_minutes: int = 60
    stale_after_seconds: float = 600.0

    def __post_init__(self) -> None:
        _require_share("quantile", self.quantile)
        if self.missed_minute_costs is not None:
            _require_positive("missed_minute_costs", self.missed_minute_costs)


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorWindow:
    """At least so many workers between two cron moments."""

    start: str
    """Cron expression, five fields."""
    end: str
    workers: int
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        _require_positive("workers", self.workers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What a fleet may cost or use at most; None is no cap."""

    cost_per_worker_hour: float | None = None
    budget_per_hour: float | None = None
    """In the same unit; with the cost it bounds the workers."""
    quota_per_second: float | None = None
    """Messages a second that a model's quota can feed: more workers would only wait."""
    running: int | None = None
    """Messages that may run at the same time in all workers together."""

    def __post_init__(self) -> None:
        for name in ("cost_per_worker_hour", "budget_per_hour", "quota_per_second", "running"):
            value: float | None = getattr(self, name)
            if value is not None:
                _require_positive(name, value)
        if self.budget_per_hour is not None and self.cost_per_worker_hour is None:
            raise ValueError("budget_per_hour: needs cost_per_worker_hour")


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """Which workers are not given up while they run: those that would lose much."""

    at_risk_seconds: float | None = 300.0
    """Workers with a message that would lose this much running time or more; None: time protects
    none."""
    at_risk_cost: float | None = None
    """Workers that would lose this much cost or more with all their messages, in the unit of
    `spent`."""
    busy: bool = False
    """Every worker that runs something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPolicy:
    """Everything that decides how many workers a fleet wants."""

    fleet: str
    queues: tuple[str, ...]
    min_workers: int = 1
    max_workers: int = 10
    slots_per_worker: int = 1
    start_up_seconds: float = 60.0
    """Until a new worker is ready, as long as nothing was measured."""
    depth: DepthTarget | None = None
    latency: LatencyTarget | None = None
    rate: RateTarget | None = None
    objectives: tuple[Objective, ...] = ()
    forecast: ForecastUse | None = None
    floors: tuple[FloorWindow, ...] = ()
    caps: Caps = Caps()
    protection: Protection = Protection()
    service_seconds: float | None = None
    """Assumed running time of a message, as long as none was measured."""
    behavior: Behavior = KUBERNETES_DEFAULT
    activation_messages: int = 0
    """A fleet of none starts when more than this many wait or run."""
    active_for_seconds: float = 300.0
    """How long a fleet that may shrink to none stays active after the last work."""
    stale_after_seconds: float = 15.0
    """A snapshot older than this decides nothing."""

    def __post_init__(self) -> None:
        if self.min_workers < 0:
            raise ValueError(f"min_workers: {self.min_workers} must not be negative")
        if self.max_workers < max(self.min_workers, 1):
            raise ValueError(
                f"max_workers: {self.max_workers} must be at least 1 and min_workers "
                f"({self.min_workers})"
            )
        _require_positive("slots_per_worker", self.slots_per_worker)
        if self.service_seconds is not None:
            _require_positive("service_seconds", self.service_seconds)
        for name in ("start_up_seconds", "active_for_seconds", "activation_messages"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: {getattr(self, name)} must not be negative")


def _require_positive(name: str, value: float) -> None:
    if not 0 < value < inf:
        raise ValueError(f"{name}: {value} must be above 0 and finite")


def _require_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name}: {value} must be above 0 and below 1")
