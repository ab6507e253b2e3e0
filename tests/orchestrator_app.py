"""Actors and workflows for processes that are killed; each step writes a line into the file RAN."""

from __future__ import annotations

import asyncio
import os

import octoqueue
from octoqueue.workflows.context import Context  # noqa: TC001 - read at run time
from octoqueue.workflows.definitions import define

_file = os.open(os.environ.get("RAN", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
STEP_SECONDS = 0.02


@octoqueue.actor(queue="steps")
async def step(execution: int, number: int) -> int:
    """Take a while, and tell that it ran."""
    await asyncio.sleep(STEP_SECONDS)
    os.write(_file, f"{execution} {number}\n".encode())
    return number + 1


async def three_steps(ctx: Context, execution: int) -> int:
    """Count to three."""
    number = 0
    for _ in range(3):
        number = await ctx.call(step, execution, number)
    return number


THREE_STEPS = define(three_steps)
