"""Manifests beside the configuration that the scaler runs with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors import FleetUnknown
from octoqueue.settings.scaling import policy_from
from scalers.manifests.finding import Finding
from scalers.manifests.rules.sizes import bounds_of, may_be_none
from scalers.manifests.rules.triggers import field_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from octoqueue.scaling.policy import ScalingPolicy
    from octoqueue.settings.root import Settings
    from scalers.manifests.crds import ScaledObject
    from scalers.manifests.reading import Placed


def configured(placed: Placed[ScaledObject], settings: Settings) -> Iterator[Finding]:
    """Fleets that are not configured, and bounds that differ."""
    for position, trigger in enumerate(placed.piece.spec.triggers):
        fleet = trigger.metadata.get("fleet")
        if fleet is None:
            continue
        try:
            policy = policy_from(settings, fleet)
        except FleetUnknown as error:
            yield Finding(
                source=placed.source,
                field=field_of(position, "metadata.fleet"),
                problem=str(error),
                advice="Name one of them",
            )
            continue
        yield from _bounds(placed, policy)


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
