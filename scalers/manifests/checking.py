"""All rules over all manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalers.manifests.finding import Finding
from scalers.manifests.reading import read_manifests
from scalers.manifests.rules import sizes, targets
from scalers.manifests.rules.configured import configured, configured_job
from scalers.manifests.rules.cron import cron_windows
from scalers.manifests.rules.fallbacks import fallback
from scalers.manifests.rules.jobs import scaled_job
from scalers.manifests.rules.triggers import asked, beside_each_other, metric_types, trigger_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from octoqueue.settings.root import Settings
    from scalers.manifests.crds import ScaledJob, ScaledObject
    from scalers.manifests.reading import Manifests, Placed

DEFAULT_DRAIN_SECONDS = 25
"""What `runtime.drain` is when nothing is configured."""


def findings_in(
    texts: Mapping[str, str], *, settings: Settings | None = None
) -> tuple[Finding, ...]:
    """Return what is wrong with manifests, in the order in which they stand.

    Args:
        texts: YAML by file name.
        settings: What the scaler and the workers run with; without it the default drain holds and
            nothing is compared with fleets.
    """
    manifests = read_manifests(texts)
    drain_seconds = DEFAULT_DRAIN_SECONDS
    if settings is not None:
        drain_seconds = round(settings.runtime.drain.total_seconds())
    findings = [*manifests.findings, *_findings(manifests, drain_seconds)]
    if settings is not None:
        for placed in manifests.scaled_objects:
            findings.extend(configured(placed, settings))
        for job in manifests.scaled_jobs:
            findings.extend(configured_job(job, settings))
    return tuple(findings)


def _findings(manifests: Manifests, drain_seconds: int) -> Iterator[Finding]:
    for placed in manifests.scaled_objects:
        yield from _of_scaled_object(manifests, placed, drain_seconds)
    for job in manifests.scaled_jobs:
        yield from scaled_job(job)
    yield from targets.one_each(manifests)
    yield from targets.one_a_fleet(manifests)
    yield from _authentications(manifests)


def _of_scaled_object(
    manifests: Manifests, placed: Placed[ScaledObject], drain_seconds: int
) -> Iterator[Finding]:
    spec, source = placed.piece.spec, placed.source
    workload = targets.workload_of(manifests, placed)
    longest = max(drain_seconds, targets.grace_seconds(workload) if workload else 0)
    yield from sizes.names(placed)
    yield from sizes.bounds(placed)
    yield from sizes.times(placed, drain_seconds=longest)
    yield from sizes.behavior(placed)
    yield from fallback(placed)
    yield from trigger_names(spec.triggers, source)
    yield from metric_types(spec.triggers, source)
    yield from asked(spec.triggers, source)
    yield from beside_each_other(placed)
    yield from cron_windows(spec.triggers, source, most=sizes.bounds_of(spec)[1])
    yield from targets.workload(manifests, placed, drain_seconds=drain_seconds)


def _authentications(manifests: Manifests) -> Iterator[Finding]:
    """References to what is not there, where at least one TriggerAuthentication was read."""
    known = {
        (placed.piece.metadata.namespace, placed.piece.metadata.name)
        for placed in manifests.authentications
    }
    asking: list[tuple[ScaledObject | ScaledJob, str]] = [
        *((placed.piece, placed.source) for placed in manifests.scaled_objects),
        *((placed.piece, placed.source) for placed in manifests.scaled_jobs),
    ]
    for piece, source in asking:
        namespace = piece.metadata.namespace
        for position, trigger in enumerate(piece.spec.triggers):
            ref = trigger.authentication_ref
            if ref is None or not known or ref.kind != "TriggerAuthentication":
                continue
            if (namespace, ref.name) not in known:
                yield Finding(
                    source=source,
                    field=f"spec.triggers.{position}.authenticationRef.name",
                    problem=f"there is no TriggerAuthentication {ref.name!r} in {namespace}",
                    advice="Name one of the same namespace",
                )
