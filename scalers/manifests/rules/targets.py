"""What is scaled: by one only, and with a Deployment that lets it be scaled."""

from __future__ import annotations

from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Any

from octoqueue.settings.quantities import parse_duration
from scalers.manifests.finding import Finding
from scalers.manifests.loose import items_of, mapping_of
from scalers.manifests.rules.triggers import EXTERNAL, MEASURED_BY_KUBERNETES, field_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scalers.manifests.crds import ScaledJob, ScaledObject
    from scalers.manifests.reading import Manifests, Native, Placed

DEFAULT_GRACE_SECONDS = 30


def one_each(manifests: Manifests) -> Iterator[Finding]:
    """Two who scale one workload."""
    scaled: dict[tuple[str, str, str], str] = {}
    for placed in manifests.scaled_objects:
        yield from _claimed(scaled, _target(placed), placed.source, "spec.scaleTargetRef")
    for autoscaler in manifests.autoscalers:
        ref = mapping_of(autoscaler.spec.get("scaleTargetRef"))
        target = (autoscaler.namespace, str(ref.get("kind")), str(ref.get("name")))
        yield from _claimed(scaled, target, autoscaler.source, "spec.scaleTargetRef")


def one_a_fleet(manifests: Manifests) -> Iterator[Finding]:
    """Two workloads that are each given all workers of one fleet."""
    asking: list[tuple[ScaledObject | ScaledJob, str, str]] = [
        *((each.piece, each.source, ":".join(_target(each))) for each in manifests.scaled_objects),
        *((each.piece, each.source, each.source) for each in manifests.scaled_jobs),
    ]
    sized: dict[tuple[str, str, str], tuple[str, str]] = {}
    for piece, source, target in asking:
        for position, trigger in enumerate(piece.spec.triggers):
            metadata = trigger.metadata
            if trigger.type not in EXTERNAL or "fleet" not in metadata:
                continue
            claim = (piece.metadata.namespace, metadata.get("scalerAddress", ""), metadata["fleet"])
            other, other_target = sized.setdefault(claim, (source, target))
            if other_target != target:
                yield Finding(
                    source=source,
                    field=field_of(position, "metadata.fleet"),
                    problem=f"{claim[-1]!r} is sized by {other} as well: each is given all workers "
                    "that the fleet wants, so there are twice as many",
                    advice="Keep one of them, or make two fleets with queues of their own",
                )


def _claimed(
    scaled: dict[tuple[str, str, str], str],
    target: tuple[str, str, str],
    source: str,
    field: str,
) -> Iterator[Finding]:
    if target in scaled:
        _, kind, name = target
        yield Finding(
            source=source,
            field=field,
            problem=f"{kind} {name} is scaled by {scaled[target]} as well: each undoes what the "
            "other does",
            advice="Make one ScaledObject with several triggers of them",
        )
    scaled.setdefault(target, source)


def _target(placed: Placed[ScaledObject]) -> tuple[str, str, str]:
    ref = placed.piece.spec.scale_target_ref
    return placed.piece.metadata.namespace, ref.kind, ref.name


def workload_of(manifests: Manifests, placed: Placed[ScaledObject]) -> Native | None:
    """Return the workload of a ScaledObject, if it is among what was read."""
    namespace, kind, name = _target(placed)
    return manifests.workload(kind=kind, namespace=namespace, name=name)


def grace_seconds(workload: Native | None) -> int:
    """Return what a pod is given to end."""
    pod = _pod(workload)
    grace = pod.get("terminationGracePeriodSeconds")
    return grace if isinstance(grace, int) else DEFAULT_GRACE_SECONDS


def pre_stop_seconds(workload: Native) -> int:
    """Return what the longest preStop hook may take, as far as that can be seen."""
    longest = 0
    for container in map(mapping_of, items_of(_pod(workload).get("containers"))):
        hook = mapping_of(mapping_of(container.get("lifecycle")).get("preStop"))
        sleep = mapping_of(hook.get("sleep")).get("seconds")
        words = [str(word) for word in items_of(mapping_of(hook.get("exec")).get("command"))]
        if isinstance(sleep, int):
            longest = max(longest, sleep)
        elif "drain" in words and "--for" in words[:-1]:
            with suppress(ValueError):
                span = parse_duration(words[words.index("--for") + 1])
                longest = max(longest, ceil(span.total_seconds()))
    return longest


def workload(
    manifests: Manifests, placed: Placed[ScaledObject], *, drain_seconds: int
) -> Iterator[Finding]:
    """What its workload says beside a ScaledObject."""
    found = workload_of(manifests, placed)
    if found is None:
        return
    if found.spec.get("replicas") is not None:
        yield Finding(
            source=found.source,
            field="spec.replicas",
            problem=f"{found.spec['replicas']} is set again by whoever applies this, against "
            f"{placed.source}",
            advice="Leave it out",
        )
    grace, hook_seconds = grace_seconds(found), pre_stop_seconds(found)
    if drain_seconds < grace <= drain_seconds + hook_seconds:
        yield Finding(
            source=found.source,
            field="spec.template.spec.terminationGracePeriodSeconds",
            problem=f"{grace} s must last for its preStop hook, {hook_seconds} s, and then for "
            f"what a worker is given to finish, {drain_seconds} s",
            advice=f"Write {hook_seconds + drain_seconds + 5} or more, or shorten the hook",
        )
    if grace <= drain_seconds:
        yield Finding(
            source=found.source,
            field="spec.template.spec.terminationGracePeriodSeconds",
            problem=f"{grace} s is not longer than a worker is given to finish, {drain_seconds} s: "
            "it would be killed with work in its hands",
            advice=f"Write {drain_seconds + 5} or more, or lower runtime.drain",
        )
    if found.kind == "StatefulSet":
        yield Finding(
            source=found.source,
            field="kind",
            problem="a StatefulSet gives up its highest ordinal, whatever that pod is doing",
            advice="Make it a Deployment, which asks for the pod's deletion cost",
            level="warning",
        )
    yield from _requests(found, placed)


def _requests(found: Native, placed: Placed[ScaledObject]) -> Iterator[Finding]:
    for trigger in placed.piece.spec.triggers:
        if trigger.type not in MEASURED_BY_KUBERNETES or trigger.metric_type == "AverageValue":
            continue
        for container in map(mapping_of, items_of(_pod(found).get("containers"))):
            resources = mapping_of(container.get("resources"))
            if trigger.type not in mapping_of(resources.get("requests")):
                yield Finding(
                    source=found.source,
                    field=f"spec.template.spec.containers.{container.get('name', '?')}.resources",
                    problem=f"requests no {trigger.type}, of which the trigger of {placed.source} "
                    "is per cent: that metric cannot be read, and the fleet never shrinks",
                    advice="Give requests",
                )


def _pod(workload: Native | None) -> Mapping[str, Any]:
    template = mapping_of(workload.spec.get("template") if workload else None)
    return mapping_of(template.get("spec"))
