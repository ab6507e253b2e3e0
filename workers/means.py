"""What a step may use: what its complexity asks for, as the configuration says.

`workflows.complexity` names a tier of models and a class of resources for each complexity; a step
that runs outside of a workflow, or whose configuration names none, is given the middle ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import octoqueue
from octoqueue.models.protocol import Tier
from workers.sandbox.outcome import MIB, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

TIME_LIMIT: Final = timedelta(seconds=60)
"""Of an arm, unless its complexity says another one; longer than anything it waits for."""

LIMITS: Final[Mapping[str, Limits]] = MappingProxyType(
    {
        "small": Limits(cpu_seconds=2, wall_seconds=5.0, memory_bytes=256 * MIB),
        "standard": Limits(),
        "large": Limits(cpu_seconds=20, wall_seconds=30.0, memory_bytes=1024 * MIB),
    }
)
"""What a command or program in the sandbox may use, by class of resources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a step may use."""

    tier: Tier = Tier.STANDARD
    """Which model answers."""
    limits: Limits = LIMITS["standard"]
    """Of what it runs in the sandbox."""


STANDARD: Final = Means()


def means_of(*, model_tier: str | None, resource_class: str | None) -> Means:
    """Return what a tier and a class of these names are; the middle ones for names unknown here."""
    tier = Tier(model_tier) if model_tier in set(Tier) else STANDARD.tier
    return Means(tier=tier, limits=LIMITS.get(resource_class or "", STANDARD.limits))


def means_here() -> Means:
    """Return what the running message may use."""
    message = octoqueue.current_message()
    if message is None:
        return STANDARD
    return means_of(model_tier=message.model_tier, resource_class=message.resource_class)
