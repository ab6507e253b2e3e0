"""`Override`: how many workers somebody wants for a while, whatever is demanded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

SHORTEST: Final = timedelta(milliseconds=1)
LONGEST: Final = timedelta(days=90)
MOST_WORKERS: Final = 1_000_000
"""More is a mistake, and beyond 64 bits nobody could be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """So many workers until a moment; it replaces demand, floors by schedule and `min_workers`."""

    workers: int
    until_ms: int
    """When it ends, by the store's clock."""
    beyond_max: bool = False
    """Whether it may exceed `max_workers`."""
    said_by: str = ""
    """Who said so, for whoever reads the decision."""

    def __post_init__(self) -> None:
        if not 0 <= self.workers <= MOST_WORKERS:
            raise ValueError(f"workers: {self.workers} must be from 0 to {MOST_WORKERS}")

    def holds_at(self, now_ms: int) -> bool:
        """Return whether it has not ended."""
        return now_ms < self.until_ms
