"""What is tried again while a server is gone, and how long is waited between two tries."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from octoqueue.errors import OctoqueueError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from octoqueue.primitives.clock import Clock

T = TypeVar("T")

log = logging.getLogger(__name__)

_FIRST_SECONDS = 0.1
_LONGEST_SECONDS = 2.0
_DOUBLINGS = 10


class Pauses:
    """Growing pauses, and one line in the log when they begin."""

    def __init__(self, what: str) -> None:
        """Name what is tried."""
        self._what = what
        self.tries = 0

    def after(self, error: Exception) -> float:
        """Return how many seconds to wait after a failed try."""
        if not self.tries:
            log.warning(f"{self._what}_failed", extra={"reason": str(error)})  # noqa: G004 - the name of the event
        self.tries += 1
        doubled: float = _FIRST_SECONDS * 2 ** min(self.tries - 1, _DOUBLINGS)
        return min(doubled, _LONGEST_SECONDS)

    def over(self) -> None:
        """Be told that it worked."""
        if self.tries:
            log.info(f"{self._what}_recovered", extra={"tries": self.tries})  # noqa: G004
            self.tries = 0


async def insisted(call: Callable[[], Awaitable[T]], *, what: str, clock: Clock) -> T:
    """Return what a call answers, made again and again while its server is gone.

    Raises:
        OctoqueueError: it was refused for good.
    """
    pauses = Pauses(what)
    while True:
        try:
            answer = await call()
        except OctoqueueError as error:
            if not error.retryable:
                raise
            await clock.sleep(pauses.after(error))
        else:
            pauses.over()
            return answer
