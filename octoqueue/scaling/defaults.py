"""The numbers that the reference gives its components, as data.

Source: the HorizontalPodAutoscalers of the OctoLLM scaling guide, one a component. Where the guide
names no behaviour, Kubernetes fills in its own, which is written out here. What it measures on CPU
and memory goes into manifests only: our decisions stand on queues.

    depth    its custom metric "queue depth", an average a pod
    latency  its P95 latency targets. Ours is the time a message waits before it starts
    rate     its requests, or PII checks, a second and pod
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from octoqueue.scaling.behavior import (
    KUBERNETES_DEFAULT,
    Behavior,
    DirectionRules,
    RatePolicy,
)
from octoqueue.scaling.policy import DepthTarget, LatencyTarget, RateTarget

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentDefaults:
    """What a component of a name is given when nothing is configured."""

    min_workers: int = 1
    max_workers: int = 10
    cpu_percent: int | None = None
    """Mean CPU utilisation to aim at, of what is requested."""
    memory_percent: int | None = None
    depth: DepthTarget | None = None
    latency: LatencyTarget | None = None
    rate: RateTarget | None = None
    behavior: Behavior = KUBERNETES_DEFAULT


ORCHESTRATOR_BEHAVIOR: Final = Behavior(
    up=DirectionRules(
        stabilization_window_seconds=0,
        policies=(
            RatePolicy(kind="Percent", value=100, period_seconds=60),
            RatePolicy(kind="Pods", value=4, period_seconds=60),
        ),
        select="Max",
    ),
    down=DirectionRules(
        stabilization_window_seconds=300,
        policies=(
            RatePolicy(kind="Percent", value=50, period_seconds=60),
            RatePolicy(kind="Pods", value=2, period_seconds=60),
        ),
        select="Min",
    ),
)
"""Doubles or adds four a minute; halves or gives up two a minute, whichever is less, after five."""

REFLEX_BEHAVIOR: Final = Behavior(
    up=DirectionRules(
        stabilization_window_seconds=0,
        policies=(RatePolicy(kind="Percent", value=150, period_seconds=30),),
        select="Max",
    ),
    down=DirectionRules(
        stabilization_window_seconds=180,
        policies=(RatePolicy(kind="Percent", value=30, period_seconds=60),),
    ),
)
"""Adds 150 % each half minute; gives up 30 % a minute after three minutes."""

REFERENCE: Final[Mapping[str, ComponentDefaults]] = {
    "orchestrator": ComponentDefaults(
        min_workers=2,
        max_workers=10,
        cpu_percent=70,
        memory_percent=80,
        depth=DepthTarget(messages_per_worker=10),
        latency=LatencyTarget(seconds=0.5),
        behavior=ORCHESTRATOR_BEHAVIOR,
    ),
    "reflex": ComponentDefaults(
        min_workers=3,
        max_workers=20,
        cpu_percent=60,
        memory_percent=75,
        rate=RateTarget(per_second_and_worker=500),
        behavior=REFLEX_BEHAVIOR,
    ),
    "planner": ComponentDefaults(
        max_workers=5, cpu_percent=75, depth=DepthTarget(messages_per_worker=5)
    ),
    "executor": ComponentDefaults(
        max_workers=10,
        cpu_percent=70,
        memory_percent=80,
        depth=DepthTarget(messages_per_worker=8),
    ),
    "coder": ComponentDefaults(
        max_workers=8, cpu_percent=75, depth=DepthTarget(messages_per_worker=6)
    ),
    "judge": ComponentDefaults(max_workers=5, cpu_percent=70),
    "guardian": ComponentDefaults(
        min_workers=2, max_workers=10, cpu_percent=65, rate=RateTarget(per_second_and_worker=100)
    ),
    "retriever": ComponentDefaults(
        max_workers=8, cpu_percent=70, latency=LatencyTarget(seconds=0.2)
    ),
}
"""By the name of the component, which is that of its fleet."""


def defaults_of(fleet: str, *, slots_per_worker: int) -> ComponentDefaults:
    """Return what a fleet is given when nothing is configured.

    One that the reference does not know, or for which it measures CPU only (the judge), goes by
    depth: as many messages a worker as it runs at the same time.
    """
    known = REFERENCE.get(fleet, ComponentDefaults())
    if known.depth or known.latency or known.rate:
        return known
    return ComponentDefaults(
        min_workers=known.min_workers,
        max_workers=known.max_workers,
        cpu_percent=known.cpu_percent,
        memory_percent=known.memory_percent,
        depth=DepthTarget(messages_per_worker=slots_per_worker),
        behavior=known.behavior,
    )
