"""How fast a fleet may grow and shrink: the `behavior` of a HorizontalPodAutoscaler, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PolicyKind = Literal["Pods", "Percent"]
Select = Literal["Max", "Min", "Disabled"]

LONGEST_PERIOD_SECONDS = 1_800
LONGEST_WINDOW_SECONDS = 3_600
DEFAULT_TOLERANCE = 0.1
DEFAULT_DOWN_WINDOW_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePolicy:
    """At most so much change in any period."""

    kind: PolicyKind
    value: int
    """Workers, or per cent of those at the period's beginning."""
    period_seconds: int

    def __post_init__(self) -> None:
        if self.value <= 0:
            raise ValueError(f"value: {self.value} must be above 0")
        if not 0 < self.period_seconds <= LONGEST_PERIOD_SECONDS:
            raise ValueError(
                f"period_seconds: {self.period_seconds} must be 1 to {LONGEST_PERIOD_SECONDS}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionRules:
    """The rules of one direction."""

    stabilization_window_seconds: int
    policies: tuple[RatePolicy, ...]
    select: Select = "Max"
    """Which policy counts: that which allows most, least, or no change at all."""
    tolerance: float = DEFAULT_TOLERANCE
    """Relative change of demand that is ignored."""

    def __post_init__(self) -> None:
        if not 0 <= self.stabilization_window_seconds <= LONGEST_WINDOW_SECONDS:
            raise ValueError(
                f"stabilization_window_seconds: {self.stabilization_window_seconds} must be 0 to "
                f"{LONGEST_WINDOW_SECONDS}"
            )
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance: {self.tolerance} must be 0 or more and below 1")
        if not self.policies and self.select != "Disabled":
            raise ValueError("policies: must not be empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """Both directions."""

    up: DirectionRules
    down: DirectionRules


KUBERNETES_UP = DirectionRules(
    stabilization_window_seconds=0,
    policies=(
        RatePolicy(kind="Pods", value=4, period_seconds=15),
        RatePolicy(kind="Percent", value=100, period_seconds=15),
    ),
)
"""What the API server fills in for `scaleUp`."""

KUBERNETES_DOWN = DirectionRules(
    stabilization_window_seconds=DEFAULT_DOWN_WINDOW_SECONDS,
    policies=(RatePolicy(kind="Percent", value=100, period_seconds=15),),
)
"""What the API server fills in for `scaleDown`."""

KUBERNETES_DEFAULT = Behavior(up=KUBERNETES_UP, down=KUBERNETES_DOWN)
