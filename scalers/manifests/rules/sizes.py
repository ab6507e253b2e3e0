"""Bounds, times and names of a ScaledObject."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from octoqueue.scaling.hpa_defaults import behavior_from_kubernetes
from scalers.manifests.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalers.manifests.crds import BehaviorBlock, ScaledObject, ScaledObjectSpec
    from scalers.manifests.reading import Placed

LONGEST_NAME: Final = 63
DEFAULT_MAX: Final = 100
DEFAULT_COOLDOWN_SECONDS: Final = 300
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def bounds_of(spec: ScaledObjectSpec) -> tuple[int, int]:
    """Return the minimum and the maximum that hold."""
    most = DEFAULT_MAX if spec.max_replica_count is None else spec.max_replica_count
    return spec.min_replica_count or 0, most


def may_be_none(spec: ScaledObjectSpec) -> bool:
    """Return whether KEDA may set 0 replicas."""
    return bounds_of(spec)[0] == 0 or spec.idle_replica_count == 0


def bounds(placed: Placed[ScaledObject]) -> Iterator[Finding]:
    """min, max and idle."""
    spec = placed.piece.spec
    least, most = bounds_of(spec)
    if least < 0 or least > most:
        yield Finding(
            source=placed.source,
            field="spec.minReplicaCount",
            problem=f"{least} is not within 0 and maxReplicaCount, {most}",
            advice="Give a minimum that is at most the maximum",
        )
    if most < 1:
        yield Finding(
            source=placed.source,
            field="spec.maxReplicaCount",
            problem=f"{most} leaves nothing to scale",
            advice='To stop a fleet, annotate autoscaling.keda.sh/paused-replicas: "0"',
        )
    idle = spec.idle_replica_count
    if idle is not None and idle != 0:
        yield Finding(
            source=placed.source,
            field="spec.idleReplicaCount",
            problem=f"{idle} makes KEDA and the autoscaler undo each other's work: only 0 does not "
            "(KEDA #2314)",
            advice="Leave it out, or write 0",
        )
    elif idle is not None and idle >= least:
        yield Finding(
            source=placed.source,
            field="spec.idleReplicaCount",
            problem=f"{idle} is not below minReplicaCount, {least}, so it means nothing",
            advice="Leave it out; with minReplicaCount 0 the fleet goes to none by itself",
        )


def times(placed: Placed[ScaledObject], *, drain_seconds: int) -> Iterator[Finding]:
    """Polling, and the cooldown that is the only brake of the step to none."""
    spec = placed.piece.spec
    if spec.polling_interval is not None and spec.polling_interval < 1:
        yield Finding(
            source=placed.source,
            field="spec.pollingInterval",
            problem=f"every {spec.polling_interval} s asks without a pause",
            advice="Write 1 or more; 30 is KEDA's own",
        )
    cooldown = DEFAULT_COOLDOWN_SECONDS if spec.cooldown_period is None else spec.cooldown_period
    if may_be_none(spec) and cooldown < drain_seconds:
        yield Finding(
            source=placed.source,
            field="spec.cooldownPeriod",
            problem=f"{cooldown} s is shorter than the longest drain, {drain_seconds} s: KEDA goes "
            "from any number straight to 0, so a fleet would be stopped, and wanted again, while "
            "it still finishes",
            advice=f"Write {drain_seconds} or more",
        )


def names(placed: Placed[ScaledObject]) -> Iterator[Finding]:
    """Names that Kubernetes would refuse: of the object, or else of its autoscaler."""
    metadata, advanced = placed.piece.metadata, placed.piece.spec.advanced
    config = advanced.horizontal_pod_autoscaler_config if advanced else None
    autoscaler = (config.name if config else None) or f"keda-hpa-{metadata.name}"
    field, name = "metadata.name", metadata.name
    if not _why_no_name(name):
        field, name = "spec.advanced.horizontalPodAutoscalerConfig.name", autoscaler
    reason = _why_no_name(name)
    if reason:
        yield Finding(
            source=placed.source,
            field=field,
            problem=f"{name} {reason}",
            advice="Write small letters, digits and hyphens, at most 63; metadata.name at most 54 "
            "where the autoscaler has no name of its own",
        )


def _why_no_name(name: str) -> str:
    if len(name) > LONGEST_NAME:
        return f"has {len(name)} characters of at most {LONGEST_NAME}"
    return "" if _NAME.fullmatch(name) else "is no name of a Kubernetes object"


def behavior(placed: Placed[ScaledObject]) -> Iterator[Finding]:
    """How fast the autoscaler may go."""
    advanced = placed.piece.spec.advanced
    config = advanced.horizontal_pod_autoscaler_config if advanced else None
    block = config.behavior if config else None
    field = "spec.advanced.horizontalPodAutoscalerConfig.behavior"
    if block is None:
        yield Finding(
            source=placed.source,
            field=field,
            problem="is missing, so the autoscaler grows 1, 4, 8, 16 at every sync and knows no "
            "rate for shrinking",
            advice="Write scaleUp and scaleDown in full",
        )
        return
    yield from _numbers(block, placed.source, field)


def _numbers(block: BehaviorBlock, source: str, field: str) -> Iterator[Finding]:
    try:
        behavior_from_kubernetes(block.fields())
    except ValueError as error:
        yield Finding(
            source=source,
            field=field,
            problem=str(error),
            advice="The API server refuses it, and then there is no autoscaler",
        )
    for name, direction in (("scaleUp", block.scale_up), ("scaleDown", block.scale_down)):
        if direction is None:
            yield Finding(
                source=source,
                field=f"{field}.{name}",
                problem="is missing, so the API server's defaults hold",
                advice="Write it in full",
                level="warning",
            )
