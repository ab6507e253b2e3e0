"""The triggers of a component: our scaler's one metric, and what works without our scaler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalers.manifests.crds import (
    AuthenticationRef,
    SecretTarget,
    Trigger,
    TriggerAuthentication,
    TriggerAuthenticationSpec,
)
from scalers.manifests.model import Metadata

if TYPE_CHECKING:
    from scalers.manifests.components import Component
    from scalers.manifests.options import Options

AUTHENTICATION = "octoqueue-scaler"
"""Name of the TriggerAuthentication, and of the Secret it reads."""

WANTED = "wanted-workers"

AUTHENTICATION_HEADER = """\
mTLS towards the scaler, the only authentication that KEDA offers there. The Secret is of the kind
that cert-manager writes. KEDA reads it again when a trigger changes or fails, not on a timer, so
let old and new certificates overlap.\
"""


def authentication(options: Options) -> TriggerAuthentication:
    """Return where KEDA's certificate for the scaler is."""
    keys = {"caCert": "ca.crt", "tlsClientCert": "tls.crt", "tlsClientKey": "tls.key"}
    return TriggerAuthentication(
        api_version="keda.sh/v1alpha1",
        kind="TriggerAuthentication",
        metadata=Metadata(name=AUTHENTICATION, namespace=options.namespace),
        spec=TriggerAuthenticationSpec(
            secret_target_ref=[
                SecretTarget(parameter=parameter, name=f"{AUTHENTICATION}-client", key=key)
                for parameter, key in keys.items()
            ]
        ),
    )


def wanted_workers(component: Component, options: Options) -> tuple[Trigger, str]:
    """Return the trigger of our scaler, and what to say about it."""
    metadata = {"scalerAddress": options.scaler_address, "fleet": component.fleet}
    if options.is_secured:
        metadata["enableTLS"] = "true"
    trigger = Trigger(
        type="external",
        name=WANTED,
        metric_type="AverageValue",
        authentication_ref=AuthenticationRef(name=AUTHENTICATION) if options.is_secured else None,
        metadata=metadata,
    )
    return trigger, (
        "The scaler answers the workers that are wanted, at a target of 1 each: depth, latency, "
        "objective, forecast, schedule and caps are one number, as KEDA freezes targets and one "
        "broken external trigger spoils the others."
    )


def measured_by_kubernetes(component: Component, options: Options) -> list[tuple[Trigger, str]]:
    """Return the reference's cpu and memory triggers; in a profile without requests there are none.

    They only ever add workers, and they are the one thing that still does while the scaler cannot
    be reached: Kubernetes measures them without KEDA.
    """
    if options.profile == "dev":
        return []
    said = "The reference's target. Per cent of the requests, so the Deployment must have some."
    return [
        (
            Trigger(
                type=kind, name=kind, metric_type="Utilization", metadata={"value": str(percent)}
            ),
            said,
        )
        for kind, percent in (("cpu", component.cpu_percent), ("memory", component.memory_percent))
        if percent is not None
    ]


def cron_floors(component: Component, options: Options) -> list[tuple[Trigger, str]]:
    """Return the configured floors as cron triggers, if that is wanted."""
    if not options.cron_floors:
        return []
    return [
        (
            Trigger(
                type="cron",
                name=f"floor-{position}",
                metric_type="AverageValue",
                metadata={
                    "timezone": floor.timezone,
                    "start": floor.start,
                    "end": floor.end,
                    "desiredReplicas": str(floor.workers),
                },
            ),
            (
                "A floor that the scaler knows as well. Here it still holds while signals cannot "
                "be read. It never lowers, and its end is followed by windows and cooldown."
            ),
        )
        for position, floor in enumerate(component.policy.floors)
    ]
