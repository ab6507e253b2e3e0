"""What the demonstration asks for: three sample goals and some of their kind, in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Goal:
    """A task to submit."""

    text: str
    priority: str
    """As HTTP calls it: `low`, `medium`, `high`."""


SAMPLES: Final = (
    Goal("List files in /tmp directory", "low"),
    Goal("Write a Python function to sort a list", "medium"),
    Goal("Analyze security of a web application", "high"),
)
"""One for each lane, and for each a different arm."""

_OTHERS: Final = (
    (
        Goal("Show the free disk space", "low"),
        Goal("How many processors does this machine have?", "low"),
        Goal("Show the operating system version", "low"),
        Goal("What is the current date?", "low"),
    ),
    (
        Goal("Write a Python function to check whether a number is prime", "medium"),
        Goal("Write a Python function to compute Fibonacci numbers", "medium"),
        Goal("Explain how priority lanes keep urgent work from waiting", "medium"),
        Goal("Write a Python function to validate an e-mail address", "medium"),
    ),
    (
        Goal("Analyze security of a login form that builds SQL from its input", "high"),
        Goal("Review this for vulnerabilities: password = 'hunter2'", "high"),
        Goal("Analyze security of an API that takes file uploads", "high"),
        Goal("List threats to a service that stores personal data", "high"),
    ),
)
_SAMPLE_EVERY: Final = 2


def goals(count: int) -> list[Goal]:
    """Return `count` goals: the lanes in turn, every second one of a lane its sample goal."""
    return [_goal(number) for number in range(count)]


def _goal(number: int) -> Goal:
    lane, turn = number % len(SAMPLES), number // len(SAMPLES)
    if turn % _SAMPLE_EVERY == 0:
        return SAMPLES[lane]
    others = _OTHERS[lane]
    return others[turn // _SAMPLE_EVERY % len(others)]
