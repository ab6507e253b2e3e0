"""Triggers: names, kinds of metrics, and what our scaler and others are asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from octoqueue.errors import ConfigError
from scalers.keda.metadata import metadata_from
from scalers.manifests.finding import Finding
from scalers.manifests.rules.sizes import may_be_none

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scalers.manifests.crds import ScaledObject, Trigger
    from scalers.manifests.reading import Placed

MEASURED_BY_KUBERNETES: Final = ("cpu", "memory")
EXTERNAL: Final = ("external", "external-push")
_LATENCY = re.compile(
    r"latenc|_wait|wait_|waiting|duration|percentile|\bp\d\d\b|_p\d\d|seconds", re.IGNORECASE
)
_GONE = ("tlsCertFile",)


def field_of(position: int, name: str = "") -> str:
    """Return the path of a trigger, or of a field of it."""
    return f"spec.triggers.{position}" + (f".{name}" if name else "")


def trigger_names(triggers: Sequence[Trigger], source: str) -> Iterator[Finding]:
    """Two triggers of one name."""
    seen: dict[str, int] = {}
    for position, trigger in enumerate(triggers):
        if trigger.name is not None and trigger.name in seen:
            yield Finding(
                source=source,
                field=field_of(position, "name"),
                problem=f"{trigger.name!r} is the name of trigger {seen[trigger.name]} already, "
                "and KEDA's webhook refuses that",
                advice="Name each differently",
            )
        elif trigger.name is not None:
            seen[trigger.name] = position
    if not triggers:
        yield Finding(
            source=source, field="spec.triggers", problem="is empty", advice="Give a trigger"
        )


def metric_types(triggers: Sequence[Trigger], source: str) -> Iterator[Finding]:
    """Kinds of metric that multiply, or that Kubernetes does not take."""
    for position, trigger in enumerate(triggers):
        kind, field = trigger.metric_type, field_of(position, "metricType")
        if trigger.type in MEASURED_BY_KUBERNETES:
            if kind == "Value":
                yield Finding(
                    source=source,
                    field=field,
                    problem=f"{trigger.type} knows Utilization and AverageValue only",
                    advice="Write Utilization",
                )
        elif kind == "Utilization":
            yield Finding(
                source=source,
                field=field,
                problem="Utilization is for cpu and memory only",
                advice="Write AverageValue",
            )
        elif kind == "Value" and _is_latency(trigger):
            yield Finding(
                source=source,
                field=field,
                problem="a latency of type Value multiplies the ready pods at every sync, every "
                "15 s, as long as the backlog lasts: the fleet runs into its maximum",
                advice="Use our scaler, which turns latency into workers, and AverageValue",
            )
        elif kind == "Value" and "fleet" in trigger.metadata:
            yield Finding(
                source=source,
                field=field,
                problem="our scaler answers workers, and Value would multiply them by those there "
                "are",
                advice="Write AverageValue",
            )


def _is_latency(trigger: Trigger) -> bool:
    said = [trigger.name or "", *trigger.metadata.values()]
    return any(_LATENCY.search(text) for text in said)


def asked(triggers: Sequence[Trigger], source: str) -> Iterator[Finding]:
    """What external triggers are asked, and how."""
    for position, trigger in enumerate(triggers):
        if trigger.type not in EXTERNAL:
            continue
        metadata, field = trigger.metadata, field_of(position, "metadata")
        if not metadata.get("scalerAddress"):
            yield Finding(
                source=source,
                field=f"{field}.scalerAddress",
                problem="is missing, so KEDA does not know whom to ask",
                advice="Write host:port of the scaler's headless service",
            )
        if "fleet" in metadata:
            yield from _ours(trigger, source, field)
        for gone in _GONE:
            if gone in metadata:
                yield Finding(
                    source=source,
                    field=f"{field}.{gone}",
                    problem="KEDA does not know it any more and speaks without TLS",
                    advice="Name a TriggerAuthentication with caCert, tlsClientCert, tlsClientKey",
                )
        if metadata.get("unsafeSsl") == "true":
            yield Finding(
                source=source,
                field=f"{field}.unsafeSsl",
                problem="does not check who answers, and does not switch TLS on either",
                advice='Write enableTLS: "true" and name a TriggerAuthentication with caCert',
            )
        if metadata.get("enableTLS") != "true" and trigger.authentication_ref is None:
            yield Finding(
                source=source,
                field=field_of(position),
                problem="KEDA and the scaler speak without TLS, so anybody in the cluster can ask, "
                "and answer",
                advice="In production name a TriggerAuthentication with a client certificate",
                level="warning",
            )


def _ours(trigger: Trigger, source: str, field: str) -> Iterator[Finding]:
    try:
        metadata_from(trigger.metadata)
    except ConfigError as error:
        yield Finding(
            source=source,
            field=field,
            problem=str(error),
            advice="The scaler refuses it, and the fleet would not be scaled",
        )


def beside_each_other(placed: Placed[ScaledObject]) -> Iterator[Finding]:
    """What triggers do to each other."""
    triggers, source = placed.piece.spec.triggers, placed.source
    external = [at for at, trigger in enumerate(triggers) if trigger.type in EXTERNAL]
    if len(external) > 1:
        yield Finding(
            source=source,
            field=field_of(external[1]),
            problem="when one external scaler cannot be reached, the metrics of all external "
            "triggers here fail (KEDA #5914)",
            advice="Let our scaler combine them into its one number",
            level="warning",
        )
    kinds = {trigger.type for trigger in triggers}
    if kinds and kinds <= set(MEASURED_BY_KUBERNETES) and may_be_none(placed.piece.spec):
        yield Finding(
            source=source,
            field="spec.minReplicaCount",
            problem="with cpu and memory triggers only a fleet never goes to none, and at none "
            "nothing would wake it",
            advice="Write 1 or more, or add a trigger that counts work",
        )
    polling = placed.piece.spec.polling_interval or 30
    for position, trigger in enumerate(triggers):
        if not trigger.use_cached_metrics:
            continue
        field = field_of(position, "useCachedMetrics")
        if trigger.type in (*MEASURED_BY_KUBERNETES, "cron"):
            yield Finding(
                source=source,
                field=field,
                problem=f"KEDA refuses it for {trigger.type}",
                advice="Leave it out",
            )
        elif polling > 15:  # noqa: PLR2004 - the autoscaler's sync period
            yield Finding(
                source=source,
                field=field,
                problem=f"the autoscaler would see numbers of up to {polling} s ago",
                advice="Leave it out, or poll every 15 s",
                level="warning",
            )
