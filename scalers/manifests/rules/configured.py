"""Manifests beside the configuration that the scaler and the workers run with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors import FleetUnknown
from octoqueue.settings.scaling import policy_from
from scalers.manifests.finding import Finding
from scalers.manifests.rules.sizes import bounds_of, may_be_none
from scalers.manifests.rules.triggers import field_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from octoqueue.scaling.policy import ScalingPolicy
    from octoqueue.settings.root import Settings
    from scalers.manifests.crds import ScaledJob, ScaledObject, Trigger
    from scalers.manifests.reading import Placed


def configured(placed: Placed[ScaledObject], settings: Settings) -> Iterator[Finding]:
    """Fleets that are not configured, and bounds that differ."""
    for found in _policies(placed.piece.spec.triggers, placed.source, settings):
        if isinstance(found, Finding):
            yield found
        else:
            yield from _bounds(placed, found)


def configured_job(placed: Placed[ScaledJob], settings: Settings) -> Iterator[Finding]:
    """Fleets that are not configured, and jobs that are too few for what is counted on."""
    for found in _policies(placed.piece.spec.triggers, placed.source, settings):
        if isinstance(found, Finding):
            yield found
        elif found.slots_per_worker > 1:
            yield Finding(
                source=placed.source,
                field="spec.triggers",
                problem=f"the scaler counts on {found.slots_per_worker} messages at a time for "
                "each job, so with jobs of one message too few are wanted",
                advice=f"Set fleets.{found.fleet}.concurrency to 1 where the scaler runs",
                level="warning",
            )


def _policies(
    triggers: Sequence[Trigger], source: str, settings: Settings
) -> Iterator[ScalingPolicy | Finding]:
    for position, trigger in enumerate(triggers):
        fleet = trigger.metadata.get("fleet")
        if fleet is None:
            continue
        try:
            yield policy_from(settings, fleet)
        except FleetUnknown as error:
            yield Finding(
                source=source,
                field=field_of(position, "metadata.fleet"),
                problem=str(error),
                advice="Name one of them",
            )


def _bounds(placed: Placed[ScaledObject], policy: ScalingPolicy) -> Iterator[Finding]:
    spec = placed.piece.spec
    most = bounds_of(spec)[1]
    if most < policy.max_workers:
        yield Finding(
            source=placed.source,
            field="spec.maxReplicaCount",
            problem=f"{most} is below what the scaler may want, {policy.max_workers}",
            advice=f"Lower fleets.{policy.fleet}.scaling.max too, so that decisions say what is",
            level="warning",
        )
    if may_be_none(spec) and policy.min_workers > 0:
        yield Finding(
            source=placed.source,
            field="spec.minReplicaCount",
            problem=f"the scaler always wants {policy.min_workers}, so there is never none",
            advice=f"Set fleets.{policy.fleet}.scaling.min to 0 where the scaler runs",
            level="warning",
        )
