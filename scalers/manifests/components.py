"""What is scaled: one component a fleet of the configuration, and the HTTP edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from octoqueue.scaling.defaults import REFERENCE, ComponentDefaults
from octoqueue.settings.scaling import EDGE, policy_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octoqueue.scaling.policy import ScalingPolicy
    from octoqueue.settings.root import Settings

_NAMES = {"orchestrator": "orchestrator", EDGE: "reflex-layer"}
_SERVICES = frozenset((*_NAMES, "admin"))
"""They must not shrink to none: at none an edge hears nobody, nobody keeps the timers of workflows
or the schedules of periodic actors, and nobody relays the outbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A workload, and what is known of it."""

    policy: ScalingPolicy
    name: str
    """Of its Deployment, as the reference calls it, and of its ScaledObject."""
    modules: tuple[str, ...]
    cpu_percent: int | None
    memory_percent: int | None
    drain_seconds: int
    """What a worker is given to finish when it is stopped."""
    may_sleep: bool
    """Whether nothing is lost when there is none of it."""
    runs_messages: bool
    """Whether it is a fleet of workers, neither orchestrators nor the edge."""

    @property
    def fleet(self) -> str:
        """The fleet's name, which the scaler is asked by."""
        return self.policy.fleet


def components_of(
    settings: Settings, *, targets: Mapping[str, str] | None = None
) -> tuple[Component, ...]:
    """Return all components: those of the reference in its order, then the others by name.

    Args:
        settings: The configuration.
        targets: Names of Deployments by fleet, where they differ from the reference's.
    """
    edge = (EDGE,) if settings.http.app is not None and EDGE not in settings.fleets else ()
    known = list(REFERENCE)
    fleets = sorted(
        (*settings.fleets, *edge),
        key=lambda fleet: (known.index(fleet) if fleet in known else len(known), fleet),
    )
    return tuple(_component(settings, fleet, targets=targets or {}) for fleet in fleets)


def _component(settings: Settings, fleet: str, *, targets: Mapping[str, str]) -> Component:
    defaults = REFERENCE.get(fleet, ComponentDefaults())
    configured = settings.fleets.get(fleet)
    is_arm = fleet in REFERENCE and fleet not in _SERVICES
    return Component(
        policy=policy_from(settings, fleet),
        name=targets.get(fleet) or _NAMES.get(fleet, f"{fleet}-arm" if is_arm else fleet),
        modules=configured.modules if configured else (),
        cpu_percent=defaults.cpu_percent,
        memory_percent=defaults.memory_percent,
        drain_seconds=round(settings.runtime.drain.total_seconds()),
        runs_messages=configured is not None and configured.kind == "worker",
        may_sleep=fleet not in _SERVICES
        and (configured is None or configured.kind != "orchestrator"),
    )
