"""What a step may use, by the complexity of its task. Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from octoqueue.models.protocol import Tier
from workers.sandbox.outcome import MIB, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.forms import ComplexityName

TIERS: Final[Mapping[ComplexityName, Tier]] = MappingProxyType(
    {"low": Tier.SMALL, "medium": Tier.STANDARD, "high": Tier.LARGE}
)
"""Which model answers."""

LIMITS: Final[Mapping[ComplexityName, Limits]] = MappingProxyType(
    {
        "low": Limits(cpu_seconds=2, wall_seconds=5.0, memory_bytes=256 * MIB),
        "medium": Limits(),
        "high": Limits(cpu_seconds=20, wall_seconds=30.0, memory_bytes=1024 * MIB),
    }
)
"""What a command or program in the sandbox may use."""
