"""`Finding`: what is wrong with a manifest, why, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that hurts, or may."""

    source: str
    """File, and the object in it."""
    field: str
    """Dotted path, "" for the object as a whole."""
    problem: str
    """What it does."""
    advice: str
    """What to write instead."""
    level: Level = "error"

    def __str__(self) -> str:
        """Return it in one line."""
        place = f"{self.source}: {self.field}" if self.field else self.source
        return f"{self.level}: {place}: {self.problem}. {self.advice}."
