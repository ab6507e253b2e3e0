"""ScaledJobs: fewer things are possible, and one strategy runs away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalers.manifests.finding import Finding
from scalers.manifests.loose import mapping_of
from scalers.manifests.rules.cron import cron_windows
from scalers.manifests.rules.sizes import DEFAULT_MAX
from scalers.manifests.rules.triggers import asked, field_of, metric_types, trigger_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalers.manifests.crds import ScaledJob
    from scalers.manifests.reading import Placed


def scaled_job(placed: Placed[ScaledJob]) -> Iterator[Finding]:
    """Everything about one ScaledJob."""
    spec, source = placed.piece.spec, placed.source
    most = DEFAULT_MAX if spec.max_replica_count is None else spec.max_replica_count
    least = spec.min_replica_count or 0
    if not 0 <= least <= most:
        yield Finding(
            source=source,
            field="spec.minReplicaCount",
            problem=f"{least} is not within 0 and maxReplicaCount, {most}",
            advice="Give a minimum that is at most the maximum",
        )
    if spec.polling_interval is not None and spec.polling_interval < 1:
        yield Finding(
            source=source,
            field="spec.pollingInterval",
            problem=f"every {spec.polling_interval} s asks without a pause",
            advice="Write 1 or more",
        )
    yield from trigger_names(spec.triggers, source)
    yield from metric_types(spec.triggers, source)
    yield from asked(spec.triggers, source)
    yield from cron_windows(spec.triggers, source, most=most)
    yield from _strategy(placed)
    yield from _kinds(placed)
    pod = mapping_of(spec.job_target_ref.template.get("spec"))
    if pod.get("restartPolicy") not in {"Never", "OnFailure"}:
        yield Finding(
            source=source,
            field="spec.jobTargetRef.template.spec.restartPolicy",
            problem="Kubernetes refuses a Job whose pods always start again",
            advice="Write Never",
        )


def _strategy(placed: Placed[ScaledJob]) -> Iterator[Finding]:
    strategy = placed.piece.spec.scaling_strategy
    is_ours = any("fleet" in trigger.metadata for trigger in placed.piece.spec.triggers)
    if strategy is not None and strategy.strategy in {"accurate", "eager"} and is_ours:
        yield Finding(
            source=placed.source,
            field="spec.scalingStrategy.strategy",
            problem=f"{strategy.strategy} takes the metric for what nobody works on yet, and ours "
            "counts what runs: every poll would start jobs for it again",
            advice="Write default",
        )


def _kinds(placed: Placed[ScaledJob]) -> Iterator[Finding]:
    for position, trigger in enumerate(placed.piece.spec.triggers):
        if trigger.type == "external-push":
            yield Finding(
                source=placed.source,
                field=field_of(position, "type"),
                problem="KEDA does not listen to pushes for a ScaledJob",
                advice="Write external",
            )
        elif trigger.type in {"cpu", "memory"}:
            yield Finding(
                source=placed.source,
                field=field_of(position, "type"),
                problem=f"{trigger.type} is measured by an autoscaler, and a ScaledJob has none",
                advice="Use a trigger that counts work",
            )
