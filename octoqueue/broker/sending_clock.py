"""The clock of whoever sends: actors are declared before there is anything to hand them one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Generator


class SendingClock:
    """This machine's clock, or what a test has put in its place."""

    def __init__(self) -> None:
        self._clock: Clock = SystemClock()
        self.now_ms = self._clock.now_ms
        """Return wall time in milliseconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after at least `seconds`."""
        await self._clock.sleep(seconds)

    @contextmanager
    def replaced_by(self, clock: Clock) -> Generator[None]:
        """Tell the time of another clock for the length of the block: for tests."""
        before, self._clock = self._clock, clock
        self.now_ms = clock.now_ms
        try:
            yield
        finally:
            self._clock, self.now_ms = before, before.now_ms


SENDING_CLOCK = SendingClock()
