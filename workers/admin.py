"""The platform's own upkeep: the outbox's relay, lost tasks, ends of tasks that broke, history.

Each admin worker relays the outbox: messages that a program wrote into its transactions, and those
of tasks whose edge died before it could send them itself.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import octoqueue
from octoqueue.errors import StoreError
from octoqueue.maintenance.relaying import relaying
from octoqueue.settings.root import Settings
from workers import forecasting
from workers.direct_work import MAX_BACKOFF  # and declares the actor of dead letters, `admin`'s
from workers.lost_tasks import LostTasks
from workers.resources import DATABASE, TASKS
from workers.rows import fail_task

log = logging.getLogger(__name__)

UNSEEN_FOR: Final = timedelta(seconds=10)
"""How long a task is left alone: longer than the head start of whoever took it in."""
_MOST_RETRIES: Final = 100
"""With pauses of ten seconds a quarter of an hour: as long as PostgreSQL may be gone."""


@asynccontextmanager
async def lifespan(settings: Settings) -> AsyncGenerator[None]:
    """Have the rows of tasks and the history open, and the outbox relayed."""
    async with (
        TASKS.lifespan(settings),
        DATABASE.lifespan(settings),
        forecasting.lifespan(settings),
        relaying(DATABASE.get(), octoqueue.get_broker()),
    ):
        yield


@octoqueue.actor(
    queue="admin",
    max_retries=_MOST_RETRIES,
    max_backoff=MAX_BACKOFF,
    time_limit=timedelta(seconds=50),
)
async def give_up_task(task_id: str, code: str, message: str) -> None:
    """Fail a task whose workflow was cancelled or broke; one that has ended stays as it is."""
    await fail_task(task_id, code, message, 0)


@octoqueue.periodic(every=timedelta(seconds=10))
@octoqueue.actor(queue="admin", max_retries=0, time_limit=timedelta(seconds=50))
async def look_for_lost_tasks() -> None:
    """Send lost tasks that name their arm again; what fails now is left to the next time."""
    try:
        await LostTasks(TASKS.get(), octoqueue.get_broker()).sweep(unseen_for=UNSEEN_FOR)
    except StoreError as exc:
        log.warning("look_cut_short", extra={"reason": str(exc)})
