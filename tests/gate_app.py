"""Actors behind gates, for processes that are killed; each line says when, by one clock for all."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta

import octoqueue

SLOTS = 3
RATE, BURST, UNITS, USED = 100, 20, 10, 4
tokens = octoqueue.RateLimit("tokens", rate=RATE, per=timedelta(seconds=1), burst=BURST)

_file = os.open(os.environ["RAN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(word: str, number: int) -> None:
    """Append a line; one write of this size is never torn."""
    line = f"{word} {number} {os.getpid()} {time.monotonic_ns()}\n"
    os.write(_file, line.encode())


@octoqueue.actor(queue="crash", concurrency=SLOTS)
async def narrow(number: int) -> None:
    """Take 50 ms, no more than three at once anywhere."""
    note("begin", number)
    await asyncio.sleep(0.05)
    note("end", number)


@octoqueue.actor(queue="crash", limits=[tokens.uses(units=UNITS)])
async def spend(number: int) -> None:
    """Reserve ten tokens and use four."""
    message = octoqueue.current_message()
    assert message is not None
    note("begin", number)
    await asyncio.sleep(0.1)
    message.settle("tokens", units=USED)
    note("end", number)
