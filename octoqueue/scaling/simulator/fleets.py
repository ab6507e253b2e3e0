"""What is assumed of a fleet and of the work: how long things take, and what goes wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from octoqueue.scaling.behavior import KUBERNETES_DEFAULT, Behavior

if TYPE_CHECKING:
    from octoqueue.scaling.simulator.traces import Floats

Shape = Literal["constant", "exponential", "lognormal"]
LoopKind = Literal["direct", "hpa", "agent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """Random durations with a given mean and spread."""

    mean_seconds: float
    squared_variation: float = 0.0
    """Variance divided by the squared mean: 0 is constant, 1 exponential, above it heavy-tailed."""
    shape: Shape | None = None
    """None: constant for 0, exponential for 1, lognormal for every other variation."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean_seconds) and self.mean_seconds >= 0):
            raise ValueError(f"mean_seconds: {self.mean_seconds} must be 0 or more")
        if not (math.isfinite(self.squared_variation) and self.squared_variation >= 0):
            raise ValueError(f"squared_variation: {self.squared_variation} must be 0 or more")

    def draw(self, count: int, generator: np.random.Generator) -> Floats:
        """Return `count` of them."""
        shape, variation = self.shape, self.squared_variation
        if shape is None:
            shape = _shape_of(variation)
        if shape == "constant" or self.mean_seconds == 0:
            return np.full(count, self.mean_seconds)
        if shape == "exponential":
            return generator.exponential(self.mean_seconds, count)
        sigma2 = math.log1p(variation)  # the lognormal distribution of that mean and variance
        location = math.log(self.mean_seconds) - sigma2 / 2
        return generator.lognormal(location, math.sqrt(sigma2), count)


def _shape_of(squared_variation: float) -> Shape:
    if squared_variation == 0:
        return "constant"
    return "exponential" if squared_variation == 1 else "lognormal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A time in which the signals cannot be read: nothing is decided."""

    starts_at_seconds: float
    seconds: float

    def covers(self, now_seconds: float) -> bool:
        """Return whether it lasts at that moment."""
        return 0 <= now_seconds - self.starts_at_seconds < self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetModel:
    """A fleet and the loop that sizes it."""

    start_up: Durations = field(default_factory=lambda: Durations(mean_seconds=60.0))
    """From asking for a worker to its first claim."""
    slots: int = 1
    """Messages that a worker runs at the same time."""
    min_workers: int = 1
    max_workers: int = 1_000
    initial_workers: int | None = None
    """Ready at the beginning; None: what the first step's load takes."""
    loop: LoopKind = "direct"
    """`direct` does what the rule says at each sync; `hpa` as Kubernetes with KEDA does, `agent` as
    the fleet agent does, both damped by `behavior`."""
    behavior: Behavior = KUBERNETES_DEFAULT
    sync_seconds: float = 15.0
    polling_seconds: float = 30.0
    """KEDA: how often it looks whether a fleet of none should start, or become none."""
    cooldown_seconds: float = 300.0
    """KEDA: how long a fleet stays after it was last active."""
    failures_per_worker_hour: float = 0.0
    """How often a worker dies. What it ran is done again, from the beginning."""
    lease_seconds: float = 60.0
    """How long until it is noticed that it died."""
    outages: tuple[Outage, ...] = ()
    cost_per_worker_hour: float = 0.0

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise ValueError(f"slots: {self.slots} must be at least 1")
        if not 0 <= self.min_workers <= self.max_workers:
            raise ValueError(
                f"min_workers: {self.min_workers} must be 0 to max_workers ({self.max_workers})"
            )
        for name in ("sync_seconds", "polling_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: {getattr(self, name)} must be above 0")
        for name in ("cooldown_seconds", "failures_per_worker_hour", "lease_seconds"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: {getattr(self, name)} must be 0 or more")

    def is_out(self, now_seconds: float) -> bool:
        """Return whether the signals cannot be read at that moment."""
        return any(outage.covers(now_seconds) for outage in self.outages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the messages of a trace are like."""

    kind: Literal["fluid", "messages"] = "fluid"
    """`fluid`: a continuous flow of work; `messages`: one by one, each with its service time."""
    service: Durations = field(default_factory=lambda: Durations(mean_seconds=1.0))
    """Where the trace does not tell."""
    seed: int = 0
