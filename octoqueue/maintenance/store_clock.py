"""`StoreClock`: the store's clock as this process knows it, without asking.

It is what the store last said plus what has passed since on the machine's monotonic clock, so that
nobody who sets a worker's clock moves it. A monotonic clock does not count the time a machine is
suspended: when the wall clock has gone another way meanwhile, the store must be asked again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from octoqueue.primitives.clock import Clock

TOLERANCE = timedelta(milliseconds=250)
"""What two clocks of one machine may come apart; smaller steps are no worse than their drift."""
GOOD_FOR = timedelta(hours=1)
"""Quartz drifts by up to 0.2 s in that time."""


class StoreClock:
    """Milliseconds since the epoch, as the store counts them."""

    def __init__(self, clock: Clock) -> None:
        """Begin with this machine's clock, until the store says what time it is."""
        self._clock = clock
        self._wall_ms = clock.now_ms()
        self._monotonic_ms = clock.monotonic() * 1000
        self._store_ms = self._wall_ms

    def set(self, store_ms: int) -> None:
        """Take what the store has just said."""
        self._wall_ms = self._clock.now_ms()
        self._monotonic_ms = self._clock.monotonic() * 1000
        self._store_ms = store_ms

    def now_ms(self) -> int:
        """Return the store's time."""
        return self._store_ms + int(self._passed_ms)

    @property
    def is_doubtful(self) -> bool:
        """Whether the store should be asked again."""
        passed_ms = self._passed_ms
        apart_ms = abs(self._clock.now_ms() - self._wall_ms - passed_ms)
        return apart_ms > TOLERANCE / timedelta(milliseconds=1) or passed_ms > GOOD_FOR / timedelta(
            milliseconds=1
        )

    @property
    def _passed_ms(self) -> float:
        return self._clock.monotonic() * 1000 - self._monotonic_ms
