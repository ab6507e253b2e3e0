"""`RetryPolicy`: whether and when a failed attempt runs again.

Backoff is exponential with full jitter in the upper half: uniform in [d/2, d] for
d = min(max_backoff, min_backoff * 2**attempt). The half floor keeps a retry from coming at once,
the spread keeps a thousand retries from coming together
(Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015: equal jitter).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from octoqueue.errors import DeclarationError

_ZERO = timedelta(0)
_MILLISECOND = timedelta(milliseconds=1)
_DOUBLINGS = 40
"""Beyond this many doublings any backoff has met its maximum; keeps the integers small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon."""

    max_retries: int | None = 5
    """Executions after the first; None for no limit."""
    min_backoff: timedelta = timedelta(seconds=1)
    max_backoff: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        """Refuse impossible values, naming the field."""
        if self.max_retries is not None and self.max_retries < 0:
            raise DeclarationError(f"max_retries is {self.max_retries}, it must be 0 or more")
        if self.min_backoff < _ZERO:
            raise DeclarationError(f"min_backoff is {self.min_backoff}, it must not be negative")
        if self.max_backoff < self.min_backoff:
            raise DeclarationError(
                f"max_backoff ({self.max_backoff}) is shorter than min_backoff ({self.min_backoff})"
            )

    def allows(self, attempt: int) -> bool:
        """Return whether a message whose `attempt` (0 = first) failed may run again."""
        return self.max_retries is None or attempt < self.max_retries

    def backoff_ms(self, attempt: int, *, jitter: float) -> int:
        """Return the wait after a failed `attempt`, for a `jitter` in [0, 1]."""
        # In milliseconds, because a timedelta overflows long before its maximum is applied.
        doubled_ms: float = self.min_backoff / _MILLISECOND * 2 ** min(attempt, _DOUBLINGS)
        half_ms: float = min(self.max_backoff / _MILLISECOND, doubled_ms) / 2
        return round(half_ms + half_ms * jitter)
