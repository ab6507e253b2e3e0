"""From one arm to the next: in which lane, at which attempt, and how often one tries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, TypedDict

import octoqueue
from octoqueue.errors import OctoqueueError

ARM_TIME_LIMIT: Final = timedelta(seconds=60)
"""Longer than anything an arm waits for; the sandbox and the stores have limits of their own."""
_RETRIES: Final = 3


class Check(TypedDict):
    """One thing an arm found out about its own result; the judge rests on them."""

    name: str
    passed: bool
    detail: str


class Result(TypedDict):
    """What an arm hands to the judge, and a caller gets in the end."""

    summary: str
    """One sentence."""
    output: dict[str, Any]
    """What the arm has to show, in its own form."""
    checks: list[Check]


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
