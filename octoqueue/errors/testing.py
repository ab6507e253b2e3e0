"""For whoever tests actors with `octoqueue.testing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors.root import OctoqueueError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta


class DrainError(OctoqueueError):
    """A test's drain did not come to its end."""


class DrainTimeout(DrainError):
    """Actors were still running when the time of a drain was over."""

    def __init__(self, running: Sequence[str], *, timeout: timedelta) -> None:
        names = ", ".join(sorted(running)) or "nothing"
        super().__init__(
            f"after {timeout} still running: {names}; an actor that waits for another message "
            "needs concurrency=2 or more"
        )
        self.running = tuple(sorted(running))


class DrainEndless(DrainError):
    """More messages ran in one drain than a test means: do they send each other without end?"""

    def __init__(self, actors: Sequence[str], *, limit: int) -> None:
        names = ", ".join(sorted(set(actors)))
        super().__init__(f"{limit} messages ran and more wait; the last were of {names}")
        self.limit = limit
