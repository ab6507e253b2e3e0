"""What an actor raised to steer its message, ours or dramatiq's, as one value. Pure."""

from __future__ import annotations

from datetime import timedelta

from dramatiq.errors import Retry as DramatiqRetry

from octoqueue.errors import Retry, Snooze, Steer


def asked_delay(error: BaseException) -> timedelta | None:
    """Return the delay an error asks for before the next attempt, None when it asks for none."""
    if isinstance(error, (Retry, Snooze)):
        return error.delay
    if isinstance(error, DramatiqRetry) and error.delay is not None:
        return timedelta(milliseconds=error.delay)
    return None


def is_steering(error: BaseException) -> bool:
    """Return whether an error is a wish and not a failure, and so not worth a traceback."""
    return isinstance(error, (Steer, DramatiqRetry))
