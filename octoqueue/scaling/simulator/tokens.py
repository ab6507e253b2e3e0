"""`TokenTimes`: how long a model takes for a request, from its tokens.

Linear, as serving systems of language models are at a fixed load: the prompt is read at one speed
and the answer written at another, slower one. The defaults are round numbers of a model of some
tens of billions of parameters on one accelerator; measure your own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTimes:
    """Seconds of a request: fixed, and for each token read and written."""

    fixed_seconds: float = 0.1
    seconds_per_context_token: float = 0.000_25
    seconds_per_generated_token: float = 0.02

    def __post_init__(self) -> None:
        for name in ("fixed_seconds", "seconds_per_context_token", "seconds_per_generated_token"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: {value} must be 0 or more")

    def seconds(self, *, context: int, generated: int) -> float:
        """Return how long a request takes."""
        return (
            self.fixed_seconds
            + context * self.seconds_per_context_token
            + generated * self.seconds_per_generated_token
        )
