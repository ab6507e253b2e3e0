"""What happens when a trigger fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalers.manifests.finding import Finding
from scalers.manifests.rules.sizes import bounds_of, may_be_none
from scalers.manifests.rules.triggers import MEASURED_BY_KUBERNETES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalers.manifests.crds import ScaledObject
    from scalers.manifests.reading import Placed


def fallback(placed: Placed[ScaledObject]) -> Iterator[Finding]:
    """A fallback that is missing, that stops the fleet, or that never fires."""
    spec, source = placed.piece.spec, placed.source
    given = spec.fallback
    asks_somebody = any(
        trigger.type not in (*MEASURED_BY_KUBERNETES, "cron") for trigger in spec.triggers
    )
    if given is None:
        if asks_somebody:
            yield Finding(
                source=source,
                field="spec.fallback",
                problem="is missing: while signals cannot be read the size stays whatever it is, "
                "and none stays none",
                advice="Write replicas of at least 1 and behavior: currentReplicasIfHigher",
                level="warning",
            )
        return
    least, most = bounds_of(spec)
    if given.replicas == 0 and may_be_none(spec):
        yield Finding(
            source=source,
            field="spec.fallback.replicas",
            problem="0 with a minReplicaCount of 0 turns an outage of the signals into an outage "
            "of the fleet: KEDA scales to none with work waiting",
            advice="Write 1 or more and behavior: currentReplicasIfHigher",
        )
    elif 0 <= least <= most and most > 0 and not max(0, least) <= given.replicas <= most:
        yield Finding(
            source=source,
            field="spec.fallback.replicas",
            problem=f"{given.replicas} is not within the bounds, {least} to {most}",
            advice="Write a number within them",
        )
    if given.failure_threshold < 0:
        yield Finding(
            source=source,
            field="spec.fallback.failureThreshold",
            problem=f"with {given.failure_threshold} KEDA ignores the fallback",
            advice="Write 0 or more; polls and syncs both count",
        )
    if given.behavior in {None, "static", "currentReplicasIfLower"} and given.replicas < most:
        yield Finding(
            source=source,
            field="spec.fallback.behavior",
            problem=f"{given.behavior or 'static'} shrinks a fleet that is larger than "
            f"{given.replicas} in the middle of its work, for want of a number",
            advice="Write currentReplicasIfHigher",
            level="warning",
        )
    if spec.triggers and not asks_somebody:
        yield Finding(
            source=source,
            field="spec.fallback",
            problem="cpu, memory and cron do not fall back, and KEDA refuses it for them alone",
            advice="Leave it out",
        )
