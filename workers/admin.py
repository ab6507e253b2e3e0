"""The platform's own upkeep: the outbox's relay, and the ends of tasks whose workflow was ended.

Each admin worker relays the outbox: messages that a program wrote into its transactions.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import octoqueue
from octoqueue.maintenance.relaying import relaying
from octoqueue.settings.root import Settings
from workers.resources import DATABASE, TASKS
from workers.rows import fail_task

log = logging.getLogger(__name__)

_MOST_RETRIES: Final = 100
"""With pauses of ten seconds a quarter of an hour: as long as PostgreSQL may be gone."""


@asynccontextmanager
async def lifespan(settings: Settings) -> AsyncGenerator[None]:
    """Have the rows of tasks open, and the outbox relayed."""
    async with (
        TASKS.lifespan(settings),
        DATABASE.lifespan(settings),
        relaying(DATABASE.get(), octoqueue.get_broker()),
    ):
        yield


@octoqueue.actor(
    queue="admin",
    max_retries=_MOST_RETRIES,
    max_backoff=timedelta(seconds=10),
    time_limit=timedelta(seconds=50),
)
async def give_up_task(task_id: str, code: str, message: str) -> None:
    """Fail a task whose workflow was cancelled or broke; one that has ended stays as it is."""
    await fail_task(task_id, code, message, 0)
