"""The `behavior` block of Kubernetes as a `Behavior`: what the API server fills in, filled in.

Kubernetes 1.36, `pkg/apis/autoscaling/v2/defaults.go`. A block that names one direction only has
the defaults of the other; no block at all is something else, the legacy normalisation of `hpa`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

from octoqueue.scaling.behavior import (
    DEFAULT_DOWN_WINDOW_SECONDS,
    DEFAULT_TOLERANCE,
    KUBERNETES_DOWN,
    KUBERNETES_UP,
    Behavior,
    DirectionRules,
    RatePolicy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class RateFields(TypedDict):
    """One policy of a direction."""

    type: Literal["Pods", "Percent"]
    value: int
    periodSeconds: int


class DirectionFields(TypedDict, total=False):
    """`scaleUp` or `scaleDown`."""

    stabilizationWindowSeconds: int
    selectPolicy: Literal["Max", "Min", "Disabled"]
    policies: Sequence[RateFields]
    tolerance: str
    """A Kubernetes quantity, here a plain number such as "0.05"."""


class BehaviorFields(TypedDict, total=False):
    """`behavior` of a HorizontalPodAutoscaler."""

    scaleUp: DirectionFields
    scaleDown: DirectionFields


def behavior_from_kubernetes(
    fields: BehaviorFields, *, down_window_seconds: int = DEFAULT_DOWN_WINDOW_SECONDS
) -> Behavior:
    """Return the behavior that a block has once the API server has filled it in.

    Args:
        fields: The block.
        down_window_seconds: The controller's `--horizontal-pod-autoscaler-downscale-stabilization`,
            which counts where `scaleDown` names no window.

    Raises:
        ValueError: A number is out of the API's range; names the field.
    """
    return Behavior(
        up=_rules(fields.get("scaleUp", {}), KUBERNETES_UP, window_seconds=0),
        down=_rules(
            fields.get("scaleDown", {}), KUBERNETES_DOWN, window_seconds=down_window_seconds
        ),
    )


def _rules(
    fields: DirectionFields, default: DirectionRules, *, window_seconds: int
) -> DirectionRules:
    policies = fields.get("policies")
    return DirectionRules(
        stabilization_window_seconds=fields.get("stabilizationWindowSeconds", window_seconds),
        policies=default.policies
        if policies is None
        else tuple(
            RatePolicy(
                kind=policy["type"], value=policy["value"], period_seconds=policy["periodSeconds"]
            )
            for policy in policies
        ),
        select=fields.get("selectPolicy", "Max"),
        tolerance=float(fields.get("tolerance", DEFAULT_TOLERANCE)),
    )
