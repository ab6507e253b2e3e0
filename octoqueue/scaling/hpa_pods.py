"""What a metric measured pod by pod proposes: cpu and memory, or a plain number of each pod.

`replica_calculator.go` of Kubernetes 1.36. Pods that start are not counted with their first load,
and pods without a measurement are taken for what makes the step smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from octoqueue.scaling.hpa_metrics import Proposal, Tolerances, ceiled, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]

CPU_INITIALIZATION_SECONDS = 300.0
"""The controller's `--horizontal-pod-autoscaler-cpu-initialization-period`."""

INITIAL_READINESS_SECONDS = 30.0
"""The controller's `--horizontal-pod-autoscaler-initial-readiness-delay`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod as the autoscaler sees it."""

    name: str
    phase: Phase = "Running"
    is_deleted: bool = False
    usage_milli: int | None = None
    """None: no measurement."""
    request_milli: int | None = None
    """None: its containers ask for nothing, so there is no per cent of it."""
    started_at: float | None = None
    is_ready: bool | None = None
    """None: it has said nothing yet."""
    ready_changed_at: float = 0.0
    """When it last became ready or unready."""
    measured_at: float = 0.0
    measured_over_seconds: float = 15.0


class PodGroups(NamedTuple):
    """Names of pods by what their measurements are worth."""

    ready: frozenset[str]
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def grouped(pods: Iterable[Pod], *, is_cpu: bool, now: float) -> PodGroups:
    """Return which pods count, start, lack a measurement or are gone."""
    ready, unready, missing, ignored = set[str](), set[str](), set[str](), set[str]()
    for pod in pods:
        if pod.is_deleted or pod.phase == "Failed":
            ignored.add(pod.name)
        elif pod.phase == "Pending":
            unready.add(pod.name)
        elif pod.usage_milli is None:
            missing.add(pod.name)
        elif is_cpu and _starts(pod, now):
            unready.add(pod.name)
        else:
            ready.add(pod.name)
    return PodGroups(
        ready=frozenset(ready),
        unready=frozenset(unready),
        missing=frozenset(missing),
        ignored=frozenset(ignored),
    )


def _starts(pod: Pod, now: float) -> bool:
    """Return whether a pod's cpu is that of its start, which says nothing about load."""
    if pod.is_ready is None or pod.started_at is None:
        return True
    if pod.started_at + CPU_INITIALIZATION_SECONDS > now:
        is_too_early = pod.measured_at < pod.ready_changed_at + pod.measured_over_seconds
        return not pod.is_ready or is_too_early
    was_never_ready = pod.started_at + INITIAL_READINESS_SECONDS > pod.ready_changed_at
    return not pod.is_ready and was_never_ready


def utilization_proposal(
    metric: Literal["cpu", "memory"],
    *,
    pods: Sequence[Pod],
    target_percent: int,
    spec_replicas: int,
    tolerances: Tolerances,
    now: float,
) -> Proposal:
    """Return what a Resource metric of type Utilization proposes.

    Args:
        metric: The resource.
        pods: All that the workload's selector finds.
        target_percent: Of the requests, above 0.
        spec_replicas: What the workload asks for.
        tolerances: Of the behavior.
        now: Of the clock that the pods' times are of.
    """
    groups = grouped(pods, is_cpu=metric == "cpu", now=now)
    requests = {pod.name: pod.request_milli or 0 for pod in pods}
    without = [pod.name for pod in pods if pod.request_milli is None]
    if without:
        return unreadable(metric, f"{metric}: pod {without[0]} requests none to be a part of")

    def ratio(usages: Mapping[str, int]) -> float | None:
        requested = sum(requests[name] for name in usages)
        if not requested:
            return None
        # A whole number of per cent, cut off: 70.9 % is at a target of 70.
        return (sum(usages.values()) * 100 // requested) / target_percent

    return _proposal(
        metric,
        pods=pods,
        groups=groups,
        ratio=ratio,
        spec_replicas=spec_replicas,
        tolerances=tolerances,
        if_missing={
            name: requests[name] * max(100, target_percent) // 100 for name in groups.missing
        },
    )


def pods_proposal(
    metric: str,
    *,
    pods: Sequence[Pod],
    target_milli: int,
    spec_replicas: int,
    tolerances: Tolerances,
    now: float,
) -> Proposal:
    """Return what a Pods metric proposes: a plain number of each pod, e.g. requests a second.

    Args:
        metric: Its name.
        pods: All that the workload's selector finds; `usage_milli` is the number.
        target_milli: Of each pod, above 0.
        spec_replicas: What the workload asks for.
        tolerances: Of the behavior.
        now: Of the clock that the pods' times are of.
    """
    groups = grouped(pods, is_cpu=False, now=now)
    return _proposal(
        metric,
        pods=pods,
        groups=groups,
        ratio=lambda usages: sum(usages.values()) // len(usages) / target_milli,
        spec_replicas=spec_replicas,
        tolerances=tolerances,
        if_missing=dict.fromkeys(groups.missing, target_milli),
    )


def _proposal(
    metric: str,
    *,
    pods: Sequence[Pod],
    groups: PodGroups,
    ratio: Callable[[Mapping[str, int]], float | None],
    spec_replicas: int,
    tolerances: Tolerances,
    if_missing: Mapping[str, int],
) -> Proposal:
    """Return the proposal.

    Pods without a measurement count with `if_missing` below the target and with 0 above it, pods
    that start with 0 above it and else not at all.
    """
    if not pods:
        return unreadable(metric, f"{metric}: there is no pod")
    usages = {pod.name: pod.usage_milli or 0 for pod in pods if pod.name in groups.ready}
    before = ratio(usages) if usages else None
    if before is None:
        return unreadable(metric, f"{metric}: no ready pod is measured")
    filled = dict(usages)
    if before < 1.0:
        filled.update(if_missing)
    elif before > 1.0:
        filled.update(dict.fromkeys(groups.missing | groups.unready, 0))
    after = ratio(filled)
    if after is None:
        return unreadable(metric, f"{metric}: no measured pod requests any")
    said = f"{metric}: {before:.3g} of its target"
    replicas = ceiled(after * len(filled))
    is_plain = len(filled) == len(usages)
    if tolerances.hold(after):
        return Proposal(metric=metric, replicas=spec_replicas, reason=f"{said}, close enough")
    if not is_plain and _turns(before, after, replicas=replicas, spec_replicas=spec_replicas):
        return Proposal(
            metric=metric,
            replicas=spec_replicas,
            reason=f"{said}, but not with the pods that are unready or unmeasured",
        )
    return Proposal(metric=metric, replicas=replicas, reason=said)


def _turns(before: float, after: float, *, replicas: int, spec_replicas: int) -> bool:
    """Return whether those pods would change the direction."""
    if (before < 1.0 < after) or (after < 1.0 < before):
        return True
    return (after < 1.0 and replicas > spec_replicas) or (after > 1.0 and replicas < spec_replicas)
