"""From one arm to the next: in which lane, at which attempt, and how often one tries."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import octoqueue
from octoqueue.errors import OctoqueueError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.forms import Given

ARM_TIME_LIMIT: Final = timedelta(seconds=60)
"""Longer than anything an arm waits for; the sandbox and the stores have limits of their own."""
_RETRIES: Final = 3


def material_of(given: Sequence[Given]) -> str:
    """Return what the steps before found, as text for a model."""
    return "\n\n".join(each["text"] for each in given if each["text"])


def lane_here() -> octoqueue.Lane:
    """Return the lane of the running message; follow-ups stay in it."""
    message = octoqueue.current_message()
    return octoqueue.Lane.NORMAL if message is None else octoqueue.Lane[message.lane.upper()]


def attempts_here() -> int:
    """Return how often the running message has been tried, this time included."""
    message = octoqueue.current_message()
    return 1 if message is None else message.attempt + 1


def outages_do_not_count(attempt: int, error: BaseException) -> bool:
    """Return whether to try again: always when a server was gone, else a few times."""
    return attempt < _RETRIES or (isinstance(error, OctoqueueError) and error.retryable)
