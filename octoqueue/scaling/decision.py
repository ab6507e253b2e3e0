"""`Decision`: how many workers a fleet wants, with every step that led there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Rule = Literal[
    "depth",
    "latency",
    "rate",
    "objective",
    "forecast",
    "schedule",
    "override",
    "protected",
    "minimum",
    "maximum",
    "budget",
    "quota",
    "concurrency",
    "activation",
    "hold",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one rule said."""

    rule: Rule
    workers: int
    """A demand's workers, or what is left after a bound."""
    reason: str
    """In words, with the numbers it stands on."""
    is_decisive: bool = False
    """Whether it is why the decision is what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many workers a fleet wants."""

    fleet: str
    at_ms: int
    workers: int
    is_active: bool
    """False: it may shrink to none."""
    steps: tuple[Step, ...]
    reason: str
    """The decisive step, in a sentence."""
    warnings: tuple[str, ...] = ()
    """What somebody should change, e.g. an objective that no fleet can meet."""
    last_active_at_ms: int | None = None
    """When there was work last, as far as is known; the next `decide` is given it."""
