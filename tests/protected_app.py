"""An actor that works until it is told by files, for processes that scale in."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import octoqueue

STAGE = Path(os.environ["STAGE"])


@octoqueue.actor(queue="long", time_limit=timedelta(minutes=5))
async def work(name: str) -> None:
    """Begin, spend, checkpoint when `<name>.checkpoint` is there, end when `<name>.end` is."""
    octoqueue.spent(2.5)
    with (STAGE / f"{name}.began").open("a") as file:
        file.write(f"{os.getpid()}\n")
    while not (STAGE / f"{name}.checkpoint").exists():
        if (STAGE / f"{name}.end").exists():
            break
        await asyncio.sleep(0.02)
    else:
        octoqueue.checkpoint()
    while not (STAGE / f"{name}.end").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    with (STAGE / f"{name}.done").open("a") as file:
        file.write(f"{os.getpid()}\n")
