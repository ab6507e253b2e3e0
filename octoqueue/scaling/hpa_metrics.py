"""What one metric proposes: `replica_calculator.go` of Kubernetes 1.36 for fleet-wide metrics.

Amounts are counted in thousandths and divided as float64, as the controller does: at the edge of a
tolerance nothing else gives the same answer. Metrics measured pod by pod are in `hpa_pods`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from octoqueue.scaling.behavior import DEFAULT_TOLERANCE, Behavior

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_REPLICAS = 2**31 - 1
"""Kubernetes counts replicas in an int32."""


class Tolerances(NamedTuple):
    """Relative distance from the target that is ignored, a direction."""

    up: float = DEFAULT_TOLERANCE
    down: float = DEFAULT_TOLERANCE

    def hold(self, ratio: float) -> bool:
        """Return whether the ratio of usage to target is close enough to 1."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


def tolerances_of(behavior: Behavior | None) -> Tolerances:
    """Return the tolerances of a behavior, or the controller's own without one."""
    if behavior is None:
        return Tolerances()
    return Tolerances(up=behavior.up.tolerance, down=behavior.down.tolerance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What one metric asks for."""

    metric: str
    replicas: int | None
    """None: the metric could not be read, or says nothing."""
    reason: str


def unreadable(metric: str, reason: str) -> Proposal:
    """Return the proposal of a metric that could not be read."""
    return Proposal(metric=metric, replicas=None, reason=reason)


def milli(amount: float) -> int:
    """Return thousandths; what is no amount (NaN, infinite, negative) is 0, as KEDA makes it."""
    if not math.isfinite(amount) or amount < 0:
        return 0
    return round(amount * 1000)


def ceiled(replicas: float) -> int:
    """Return whole replicas, as many as Kubernetes can count."""
    if math.isnan(replicas):
        return 0
    return math.ceil(min(replicas, MOST_REPLICAS))


def average_value_proposal(
    metric: str,
    *,
    values: Iterable[float],
    target: float,
    status_replicas: int,
    tolerances: Tolerances,
) -> Proposal:
    """Return what an External or Object metric of type AverageValue proposes.

    The values add up to what the whole fleet has to do; `target` is what one replica takes. Pods
    need not be ready, and adding some does not lower the proposal.

    Args:
        metric: Its name.
        values: All values of the metric.
        target: Above 0.
        status_replicas: Pods that exist, pending ones included.
        tolerances: Of the behavior.
    """
    total, each = sum(map(milli, values)), milli(target)
    if each == 0:
        return unreadable(metric, f"{metric}: its target {target:g} is below a thousandth")
    ratio = _quotient(float(total), float(each) * status_replicas)
    if tolerances.hold(ratio):
        return Proposal(
            metric=metric,
            replicas=status_replicas,
            reason=f"{metric}: {ratio:.3g} of its target, within the tolerance",
        )
    return Proposal(
        metric=metric,
        replicas=ceiled(total / each),
        reason=f"{metric}: {total / 1000:g} in all at {target:g} a replica",
    )


def value_proposal(
    metric: str,
    *,
    values: Iterable[float],
    target: float,
    spec_replicas: int,
    ready_pods: int | None,
    tolerances: Tolerances,
) -> Proposal:
    """Return what an External or Object metric of type Value proposes: ready pods times the ratio.

    While the value stays above its target this multiplies the fleet at every sync, so it suits only
    what a larger fleet lowers at once. Latency under a backlog is not of that kind.

    Args:
        metric: Its name.
        values: All values of the metric; they are added up.
        target: Above 0.
        spec_replicas: What the workload asks for.
        ready_pods: Pods that run and are ready; None when there is no pod at all.
        tolerances: Of the behavior.
    """
    total, wanted = sum(map(milli, values)), milli(target)
    if wanted == 0:
        return unreadable(metric, f"{metric}: its target {target:g} is below a thousandth")
    ratio = total / wanted
    said = f"{metric}: {total / 1000:g} at a target of {target:g}"
    if spec_replicas == 0:
        return Proposal(metric=metric, replicas=ceiled(ratio), reason=said)
    if tolerances.hold(ratio):
        return Proposal(
            metric=metric, replicas=spec_replicas, reason=f"{said}, within the tolerance"
        )
    if ready_pods is None:
        return unreadable(metric, f"{metric}: there is no pod to multiply")
    return Proposal(
        metric=metric, replicas=ceiled(ratio * ready_pods), reason=f"{said}, {ready_pods} ready"
    )


def _quotient(amount: float, by: float) -> float:
    """Divide as Go does: by 0 it is infinite, and 0 / 0 is not a number."""
    if by:
        return amount / by
    return math.inf if amount else math.nan
