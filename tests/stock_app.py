"""A program written for dramatiq, on our broker; it writes what it did into the file RAN names."""

from __future__ import annotations

import os
import time
from pathlib import Path

import dramatiq

import octoqueue

broker = octoqueue.get_broker()
RAN = Path(os.environ["RAN"])


def note(line: str) -> None:
    """Append a line in one write, so that several processes can."""
    with RAN.open("a") as file:
        file.write(line + "\n")


@dramatiq.actor
def add(a: int, b: int) -> int:
    """Add."""
    note(f"add {a + b}")
    return a + b


@dramatiq.actor
def show(number: int) -> None:
    """Show what a pipeline brings."""
    note(f"show {number}")


@dramatiq.actor(max_retries=1, min_backoff=10, max_backoff=20)
def fail() -> None:
    """Fail each time."""
    note("fail")
    raise ValueError("no")


@octoqueue.actor(lane="high")
async def shout(word: str) -> None:
    """Shout, on an event loop."""
    note(f"shout {word}")


@dramatiq.actor
def hold() -> None:
    """Take a while."""
    note("hold begins")
    time.sleep(1)
    note("hold ends")


@dramatiq.actor
def wait() -> None:
    """Take longer than anybody waits."""
    note("wait begins")
    time.sleep(60)
