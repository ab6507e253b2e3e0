"""The HorizontalPodAutoscaler v2 of Kubernetes 1.36, one sync at a time, as a function of values.

    proposals ─► the largest ─► stabilization window ─► rate policies ─► [min, max]

`step` is a sync of the controller (`pkg/controller/podautoscaler/horizontal.go`); a recording of a
real one is replayed in the tests. On Kubernetes the controller does this itself; here the simulator
and, as `damped`, the fleet agent of one machine do the same.

Weakness: a sync is taken to succeed. Where the new size could not be applied, the change still
counts against the rates until its period has passed, which only slows the next one down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from octoqueue.scaling.behavior import DEFAULT_DOWN_WINDOW_SECONDS, Behavior
from octoqueue.scaling.hpa_metrics import Proposal, average_value_proposal, tolerances_of
from octoqueue.scaling.hpa_state import HpaState, least_allowed, most_allowed

if TYPE_CHECKING:
    from collections.abc import Sequence

Readiness = Literal[
    "ReadyForNewScale",
    "ScaleUpStabilized",
    "ScaleDownStabilized",
    "ScalingDisabled",
    "OutOfBounds",
    "InvalidMetrics",
]
"""The condition `AbleToScale` in the controller's words, and why metrics were not looked at."""

Limit = Literal[
    "DesiredWithinRange", "ScaleUpLimit", "ScaleDownLimit", "TooManyReplicas", "TooFewReplicas"
]
"""The condition `ScalingLimited` in the controller's words: what the size was held by."""

_LEGACY_GROWTH = 2
_LEGACY_LEAST_LIMIT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The smallest and the largest size."""

    least: int
    most: int

    def __post_init__(self) -> None:
        if self.least < 0:
            raise ValueError(f"least: {self.least} must be 0 or more")
        if self.most < max(1, self.least):
            raise ValueError(f"most: {self.most} must be 1 or more and at least {self.least}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """What one sync came to."""

    state: HpaState
    """For the next sync."""
    current: int
    replicas: int
    """The size from now on."""
    proposed: int | None
    """The largest proposal; None when no metric was looked at, or what was read did not do."""
    stabilized: int | None
    """What the windows left of it."""
    readiness: Readiness
    limit: Limit
    detail: str
    """Of the metric that decided, or of what kept it from deciding."""

    @property
    def reason(self) -> str:
        """In a sentence, why the size is what it is."""
        if self.proposed is None:
            return self.detail
        parts = [f"{self.detail}: proposed {self.proposed}"]
        if self.stabilized != self.proposed:
            way = "higher" if self.readiness == "ScaleDownStabilized" else "lower"
            parts.append(f"held at {self.stabilized}, as {way} ones were proposed lately")
        if self.replicas != self.stabilized:
            parts.append(_LIMITS_IN_WORDS[self.limit].format(self.replicas))
        return "; ".join(parts)


_LIMITS_IN_WORDS: dict[Limit, str] = {
    "DesiredWithinRange": "{} it is",
    "ScaleUpLimit": "{} is as far as it may grow now",
    "ScaleDownLimit": "{} is as far as it may shrink now",
    "TooManyReplicas": "{} is the maximum",
    "TooFewReplicas": "{} is the minimum",
}


def step(
    state: HpaState,
    *,
    now: float,
    current: int,
    proposals: Sequence[Proposal],
    bounds: Bounds,
    behavior: Behavior | None,
    down_window_seconds: float = DEFAULT_DOWN_WINDOW_SECONDS,
) -> Sync:
    """Return what one sync of the controller comes to.

    Args:
        state: Of the sync before; `HpaState()` for a controller that just started.
        now: Seconds of a clock; a step back counts as a clock that stood still.
        current: Replicas that the workload asks for (`spec.replicas`).
        proposals: One a metric, unreadable ones included; not looked at out of bounds.
        bounds: Of the autoscaler. A `least` above 0 leaves a workload of 0 alone.
        behavior: None is the legacy normalisation: at most twice the size or 4 a sync, and the
            largest proposal of the last `down_window_seconds`.
        down_window_seconds: The controller's `--horizontal-pod-autoscaler-downscale-stabilization`.
    """
    state = state.at_moment(now).seeded(current)
    if current == 0 and bounds.least != 0:
        return _unmoved(state, current, "ScalingDisabled", "scaling is off at 0 replicas")
    if not bounds.least <= current <= bounds.most:
        return _into_bounds(state, current, bounds=bounds, behavior=behavior)
    best, refusal = _largest(proposals, current)
    if best is None or best.replicas is None:
        return _unmoved(state, current, "InvalidMetrics", refusal)
    proposed = best.replicas
    if behavior is None:
        state, stabilized = _legacy_stabilized(state, proposed, down_window_seconds)
        replicas, limit = _legacy_limited(stabilized, current=current, bounds=bounds)
        held: Readiness = "ScaleDownStabilized"
    else:
        state, stabilized = _stabilized(state, proposed, current=current, behavior=behavior)
        replicas, limit = _limited(
            state, stabilized, current=current, bounds=bounds, behavior=behavior
        )
        held = "ScaleUpStabilized" if proposed >= current else "ScaleDownStabilized"
    return Sync(
        state=state.resized(current, replicas, behavior),
        current=current,
        replicas=replicas,
        proposed=proposed,
        stabilized=stabilized,
        readiness="ReadyForNewScale" if stabilized == proposed else held,
        limit=limit,
        detail=best.reason,
    )


def damped(
    state: HpaState,
    *,
    wanted: int,
    current: int,
    bounds: Bounds,
    behavior: Behavior,
    now: float,
) -> Sync:
    """Return the size that a fleet takes on its way to `wanted`, as Kubernetes would go it.

    The wish is a metric of target 1 and type AverageValue, as our KEDA scaler reports it, so the
    tolerance of the behavior applies. A fleet of none is woken as KEDA does: the first worker comes
    whatever the rates allow, unless growing is disabled. Unlike KEDA's step to 0, which takes any
    fleet at once, shrinking to none keeps to the windows and rates.
    """
    proposal = average_value_proposal(
        "wanted workers",
        values=(float(wanted),),
        target=1.0,
        status_replicas=current,
        tolerances=tolerances_of(behavior),
    )
    if current == 0 and wanted > 0 and behavior.up.select != "Disabled":
        return _woken(state, proposal, bounds=bounds, behavior=behavior, now=now)
    return step(
        state,
        now=now,
        current=current,
        proposals=(proposal,),
        bounds=bounds,
        behavior=behavior,
    )


def _woken(
    state: HpaState, proposal: Proposal, *, bounds: Bounds, behavior: Behavior, now: float
) -> Sync:
    state = state.at_moment(now).seeded(0)
    wanted = proposal.replicas or 1
    replicas, limit = _limited(state, wanted, current=0, bounds=bounds, behavior=behavior)
    if replicas < max(1, bounds.least):
        replicas, limit = max(1, bounds.least), "TooFewReplicas"
    windows = behavior.up.stabilization_window_seconds, behavior.down.stabilization_window_seconds
    return Sync(
        state=state.recommended(wanted, forgotten_before=now - max(windows)).resized(
            0, replicas, behavior
        ),
        current=0,
        replicas=replicas,
        proposed=wanted,
        stabilized=wanted,
        readiness="ReadyForNewScale",
        limit=limit,
        detail=proposal.reason,
    )


def _unmoved(state: HpaState, current: int, readiness: Readiness, detail: str) -> Sync:
    return Sync(
        state=state,
        current=current,
        replicas=current,
        proposed=None,
        stabilized=None,
        readiness=readiness,
        limit="DesiredWithinRange",
        detail=detail,
    )


def _into_bounds(
    state: HpaState, current: int, *, bounds: Bounds, behavior: Behavior | None
) -> Sync:
    """Bounds that were moved past the size count at once: no metric, window or rate is asked."""
    is_above = current > bounds.most
    replicas = bounds.most if is_above else bounds.least
    return Sync(
        state=state.resized(current, replicas, behavior),
        current=current,
        replicas=replicas,
        proposed=None,
        stabilized=None,
        readiness="OutOfBounds",
        limit="TooManyReplicas" if is_above else "TooFewReplicas",
        detail=(
            f"{current} is above the maximum {replicas}"
            if is_above
            else f"{current} is below the minimum {replicas}"
        ),
    )


def _largest(proposals: Sequence[Proposal], current: int) -> tuple[Proposal | None, str]:
    """Return the largest proposal; None, and why, when metrics that are missing forbid it."""
    best: Proposal | None = None
    missing: Proposal | None = None
    for proposal in proposals:
        if proposal.replicas is None:
            missing = missing or proposal
        elif best is None or best.replicas is None or proposal.replicas > best.replicas:
            best = proposal
    if best is None or best.replicas is None:
        return None, "no metric" if missing is None else f"no metric is readable: {missing.reason}"
    if missing is not None and best.replicas < current:
        return None, f"it does not shrink while a metric is unreadable: {missing.reason}"
    return best, ""


def _legacy_stabilized(
    state: HpaState, proposed: int, window_seconds: float
) -> tuple[HpaState, int]:
    cutoff = state.at - window_seconds
    recent = (entry.replicas for entry in state.recommendations if entry.at >= cutoff)
    stabilized = max(proposed, *recent, 0)
    return state.recommended(proposed, forgotten_before=cutoff), stabilized


def _legacy_limited(stabilized: int, *, current: int, bounds: Bounds) -> tuple[int, Limit]:
    allowed = max(_LEGACY_GROWTH * current, _LEGACY_LEAST_LIMIT)
    if stabilized < bounds.least:
        return bounds.least, "TooFewReplicas"
    if stabilized > min(allowed, bounds.most):
        if bounds.most > allowed:
            return allowed, "ScaleUpLimit"
        return bounds.most, "TooManyReplicas"
    return stabilized, "DesiredWithinRange"


def _stabilized(
    state: HpaState, proposed: int, *, current: int, behavior: Behavior
) -> tuple[HpaState, int]:
    """Keep the current size as far as the proposals of both windows allow it."""
    up_cutoff = state.at - behavior.up.stabilization_window_seconds
    down_cutoff = state.at - behavior.down.stabilization_window_seconds
    lowest = highest = proposed
    for at, replicas in state.recommendations:
        if at > up_cutoff and replicas < lowest:
            lowest = replicas
        if at > down_cutoff and replicas > highest:
            highest = replicas
    stabilized = min(max(current, lowest), highest)
    return state.recommended(proposed, forgotten_before=min(up_cutoff, down_cutoff)), stabilized


def _limited(
    state: HpaState, stabilized: int, *, current: int, bounds: Bounds, behavior: Behavior
) -> tuple[int, Limit]:
    if stabilized > current:
        allowed = most_allowed(state, current, behavior.up)
        if stabilized > min(allowed, bounds.most):
            if bounds.most > allowed:
                return allowed, "ScaleUpLimit"
            return bounds.most, "TooManyReplicas"
    elif stabilized < current:
        allowed = least_allowed(state, current, behavior.down)
        if stabilized < max(allowed, bounds.least):
            if bounds.least < allowed:
                return allowed, "ScaleDownLimit"
            return bounds.least, "TooFewReplicas"
    return stabilized, "DesiredWithinRange"
