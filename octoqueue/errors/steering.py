"""What an actor raises to steer its message. No failures."""

from __future__ import annotations

from datetime import timedelta

from octoqueue.errors.root import OctoqueueError
from octoqueue.errors.sending import InvalidMessage


class Steer(OctoqueueError):
    """Not a failure: the actor steers what becomes of its message."""


def _wait(delay: object) -> timedelta:
    if not isinstance(delay, timedelta):
        raise InvalidMessage("delay", f"{delay!r} is no timedelta")
    if delay < timedelta(0):
        raise InvalidMessage("delay", f"{delay} is negative")
    return delay


class Retry(Steer):
    """Run this message again."""

    def __init__(self, message: str | None = None, *, delay: timedelta | None = None) -> None:
        super().__init__(message)
        self.delay = None if delay is None else _wait(delay)
        """How long to wait first; the actor's backoff when None."""


class Snooze(Steer):
    """Run this message again later, and count no attempt."""

    def __init__(self, delay: timedelta, message: str | None = None) -> None:
        super().__init__(message)
        self.delay = _wait(delay)
        """How long to wait first."""


class Discard(Steer):
    """Acknowledge this message although its actor did not finish."""
