"""What a ScaledObject says, what its scalers answer and what KEDA remembers of it, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from octoqueue.scaling.behavior import KUBERNETES_DEFAULT, Behavior
from octoqueue.scaling.hpa import Bounds
from octoqueue.scaling.hpa_state import HpaState

if TYPE_CHECKING:
    from collections.abc import Mapping

MetricKind = Literal["AverageValue", "Value"]
FallbackBehavior = Literal[
    "static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"
]
Failure = Literal["metric", "unreachable"]
"""`metric`: GetMetrics or IsActive failed. `unreachable`: GetMetricSpec failed already, and KEDA
does not even count that."""


class Reading(NamedTuple):
    """What one trigger answered."""

    metric: str
    value: float = 0.0
    is_active: bool = False
    failure: Failure | None = None
    target: float = 1.0
    kind: MetricKind = "AverageValue"


class Size(NamedTuple):
    """How large a workload is."""

    asked: int
    """`spec.replicas`."""
    existing: int
    """`status.replicas`: pods that exist and do not terminate."""
    ready: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """What KEDA answers the autoscaler for a metric that failed too often."""

    failure_threshold: int
    """It falls back at the failure after so many; polls and syncs both count."""
    replicas: int
    behavior: FallbackBehavior = "static"

    def wanted(self, current: int) -> int:
        """Return the replicas it falls back to."""
        if self.behavior == "currentReplicas":
            return current
        if self.behavior == "currentReplicasIfHigher":
            return max(current, self.replicas)
        if self.behavior == "currentReplicasIfLower":
            return min(current, self.replicas)
        return self.replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """The annotations `autoscaling.keda.sh/paused…`."""

    all: bool = False
    """`paused`: the autoscaler is deleted and nothing is polled."""
    replicas: int | None = None
    """`paused-replicas`: the same after a step to this size."""
    scale_in: bool = False
    scale_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledObjectRules:
    """The fields of a ScaledObject that decide; defaults are KEDA's."""

    min_replicas: int = 0
    max_replicas: int = 100
    idle_replicas: int | None = None
    """KEDA knows None and 0; with 0 an inactive workload has none, an active one at least
    `min_replicas`."""
    polling_seconds: float = 30.0
    cooldown_seconds: float = 300.0
    initial_cooldown_seconds: float = 0.0
    fallback: Fallback | None = None
    behavior: Behavior | None = None
    """None: the autoscaler has no behavior block, so it normalises in the legacy way."""
    uses_cached_metrics: bool = False
    is_activation_forced: bool = False
    pauses: Pauses = Pauses()
    sync_seconds: float = 15.0
    """The controller's `--horizontal-pod-autoscaler-sync-period`."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_replicas <= self.max_replicas:
            raise ValueError(f"min_replicas: {self.min_replicas} must be 0 to {self.max_replicas}")
        if self.idle_replicas is not None and not 0 == self.idle_replicas < self.min_replicas:
            raise ValueError(f"idle_replicas: {self.idle_replicas} must be 0 and below the minimum")
        if self.polling_seconds < 1:
            raise ValueError(f"polling_seconds: {self.polling_seconds:g} must be 1 or more")
        if self.sync_seconds <= 0:
            raise ValueError(f"sync_seconds: {self.sync_seconds:g} must be above 0")

    @property
    def bounds(self) -> Bounds:
        """Of the autoscaler that KEDA makes: it knows no 0."""
        return Bounds(least=max(1, self.min_replicas), most=max(1, self.max_replicas))

    @property
    def floor(self) -> int:
        """The size of an inactive workload."""
        return self.min_replicas if self.idle_replicas is None else self.idle_replicas

    @property
    def autoscaler_behavior(self) -> Behavior | None:
        """The behavior with a paused direction disabled; a pause makes a block where none was."""
        if not (self.pauses.scale_in or self.pauses.scale_out):
            return self.behavior
        behavior = self.behavior or KUBERNETES_DEFAULT
        if self.pauses.scale_in:
            behavior = replace(behavior, down=replace(behavior.down, select="Disabled"))
        if self.pauses.scale_out:
            behavior = replace(behavior, up=replace(behavior.up, select="Disabled"))
        return behavior


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaState:
    """What KEDA and its autoscaler remember of one ScaledObject."""

    created_at: float
    next_poll_at: float
    next_sync_at: float
    last_active_at: float = -math.inf
    """Minus infinity: never."""
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    """In a row, a metric; only while there is a fallback."""
    polled: tuple[Reading, ...] = ()
    """Of the last poll, for `useCachedMetrics`."""
    hpa: HpaState = field(default_factory=HpaState)


def created(now: float) -> KedaState:
    """Return the state of a ScaledObject made now: it is polled and synced at once."""
    return KedaState(created_at=now, next_poll_at=now, next_sync_at=now)
