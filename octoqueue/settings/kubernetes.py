"""`KubernetesSettings`: what a worker does when it runs in a pod."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from octoqueue.settings.quantities import PositiveDuration
from octoqueue.settings.section import Section


class KubernetesSettings(Section):
    """How a worker tells Kubernetes what would be lost with its pod."""

    pod_deletion_cost: Literal["auto", "on", "off"] = "auto"
    """Whether a worker annotates its own pod with `controller.kubernetes.io/pod-deletion-cost`, so
    that those who lose least go first. `auto`: where a service account is mounted. It takes the
    right to patch pods (`worker-permissions.yaml` of `scalers.manifests`), and one worker process
    in the pod."""

    pod: Annotated[str, Field(min_length=1)] | None = None
    """Name of the pod, by the downward API `metadata.name`. Without it, the name of the host, which
    is the same unless the pod shares the network of its node."""

    namespace: Annotated[str, Field(min_length=1)] | None = None
    """Namespace of the pod. Without it, that of the service account."""

    api: Annotated[str, Field(pattern=r"^https://[^\s/?#]+$")] = "https://kubernetes.default.svc"
    """Where the Kubernetes API is."""

    service_account: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    """Directory of `token`, `ca.crt` and `namespace`. The token is read for each call, as it
    rotates."""

    every: PositiveDuration = timedelta(seconds=10)
    """Time between two changes of the annotation, at least; the last value wins."""
