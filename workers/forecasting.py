"""Every minute: the queues' last minutes become history, and forecasts learn from it.

Decisions go on without it: a forecast that is not made anew grows stale, and is not followed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import octoqueue
from octoqueue.errors import StoreError
from octoqueue.maintenance.history import History, opened_history
from octoqueue.settings.root import Settings
from workers.resources import DATABASE, Resource

log = logging.getLogger(__name__)


@asynccontextmanager
async def _history(settings: Settings) -> AsyncGenerator[History]:
    async with opened_history(settings, DATABASE.get()) as history:
        yield history


HISTORY: Final = Resource("history", _history)


@asynccontextmanager
async def lifespan(settings: Settings) -> AsyncGenerator[None]:
    """Have the history open."""
    async with DATABASE.lifespan(settings), HISTORY.lifespan(settings):
        yield


@octoqueue.periodic(every=timedelta(minutes=1))
@octoqueue.actor(queue="admin", max_retries=0, time_limit=timedelta(seconds=50))
async def move_minutes() -> None:
    """Keep the last minutes and learn from them; what fails now is left to the next time."""
    try:
        await HISTORY.get().move(octoqueue.get_broker().store())
    except StoreError as exc:
        log.warning("minutes_left_for_later", extra={"reason": str(exc)})
