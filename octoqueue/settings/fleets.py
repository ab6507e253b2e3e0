"""`FleetSettings`: processes that are alike: the workers of one arm, or orchestrators."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from octoqueue.settings.names import ModuleName, QueueName
from octoqueue.settings.quantities import Count, PositiveCount
from octoqueue.settings.scaling_rules import ScalingSettings
from octoqueue.settings.section import Section


class FleetSettings(Section):
    """Processes that scale together: what they import, what they claim, how much each runs."""

    kind: Literal["worker", "orchestrator"] = "worker"
    """`worker` runs the actors of some queues, `orchestrator` runs workflows."""

    queues: tuple[QueueName, ...] = ()
    """Queues that the workers claim from, at least one; orchestrators have none."""

    modules: Annotated[tuple[ModuleName, ...], Field(min_length=1)]
    """Modules that declare the actors, or the workflows."""

    concurrency: PositiveCount = 100
    """Messages that one worker process runs at the same time, at most; of an orchestrator,
    functions of `ctx.run`."""

    processes: Count = 1
    """Processes that `octoqueue up` starts; 0 leaves the fleet to somebody else."""

    scaling: ScalingSettings = ScalingSettings()
    """How many of these processes there are to be, where something scales them."""

    @field_validator("queues")
    @classmethod
    def _has_queues_if_it_claims(
        cls, queues: tuple[QueueName, ...], info: ValidationInfo
    ) -> tuple[QueueName, ...]:
        kind = info.data.get("kind")
        if kind == "worker" and not queues:
            raise ValueError("must not be empty")
        if kind == "orchestrator" and queues:
            raise ValueError("must be empty: orchestrators claim from queues of their own")
        return queues

    @field_validator("scaling")
    @classmethod
    def _counts_only_what_it_serves(
        cls, scaling: ScalingSettings, info: ValidationInfo
    ) -> ScalingSettings:
        served = info.data.get("queues")
        strange = [name for name in scaling.queues if served is not None and name not in served]
        if strange:
            raise ValueError(
                f"queues: {', '.join(strange)} is not served by the fleet, whose queues are "
                f"{', '.join(served or ()) or 'none'}"
            )
        return scaling
