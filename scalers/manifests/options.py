"""What a rendering is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Profile = Literal["dev", "production"]
Pause = Literal["all", "scale-in", "scale-out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How manifests are to look."""

    profile: Profile = "production"
    """`dev` lets arms shrink to none, speaks no TLS and measures no cpu."""
    namespace: str = "octollm"
    scaler_address: str = "octoqueue-scaler.octollm.svc.cluster.local:6000"
    """Of the headless service of the scaler: all its replicas are asked in turn."""
    image: str = "octollm/octoqueue:latest"
    """Of the jobs of a ScaledJob."""
    cron_floors: bool = False
    """Whether floors become cron triggers as well."""
    pause: Pause | int | None = None
    """An annotation that stops scaling; a number sets that many replicas first."""

    pod_deletion_cost: bool = True
    """Whether workers annotate their pods, as they are configured."""

    @property
    def tells_cost(self) -> bool:
        """Whether workers are given the right to annotate their pods."""
        return self.pod_deletion_cost and self.profile == "production"

    @property
    def is_secured(self) -> bool:
        """Whether the scaler is spoken to by mTLS."""
        return self.profile == "production"
