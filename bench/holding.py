"""Actors for processes that are only watched: one that is done at once, one that never is."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import octoqueue

QUEUE = "held"


@octoqueue.actor(queue=QUEUE)
async def greet() -> None:
    """Do nothing, which shows that the process works."""


@octoqueue.actor(queue=QUEUE, time_limit=timedelta(hours=2))
async def hold() -> None:
    """Wait for as long as anybody could watch."""
    await asyncio.sleep(3_600)
