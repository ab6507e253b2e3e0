"""How large an execution may become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one execution."""

    max_value_bytes: int = 2**20
    """Of an input, an output, and each value between, as JSON."""
    over_limit: Literal["refuse", "claim_check"] = "refuse"
    """`claim_check`: whoever writes larger values puts them elsewhere. Arguments and events are
    refused nevertheless, because they are sent."""
    max_steps: int = 10_000
    """Steps it may begin; compensations do not count."""


DEFAULT_LIMITS = Limits()
