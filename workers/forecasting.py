"""Every minute: the queues' last minutes become history, and forecasts learn from it.

Decisions go on without it: a forecast that is not made anew grows stale, and is not followed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.util import find_spec
from typing import Final

import octoqueue
from octoqueue.broker.sources import redis_url
from octoqueue.errors import StoreError
from octoqueue.maintenance.forecasting import Forecasting
from octoqueue.maintenance.minutes import roll_minutes
from octoqueue.metrics.redis_scaling_memory import RedisScalingMemory
from octoqueue.postgres.minutes import Minutes
from octoqueue.redis.client import RedisClient
from octoqueue.settings.root import Settings
from octoqueue.settings.scaling import policy_from
from workers.resources import DATABASE, Resource

log = logging.getLogger(__name__)

_CONNECTIONS: Final = 2


class History:
    """What one process does every minute for the queues of all configured fleets."""

    def __init__(self, minutes: Minutes, forecasting: Forecasting, queues: tuple[str, ...]) -> None:
        self._minutes = minutes
        self._forecasting = forecasting
        self._queues = queues
        self._can_learn = find_spec("numpy") is not None
        if not self._can_learn:
            log.warning(
                "forecasts_off", extra={"missing": "numpy", "install": "octoqueue[forecast]"}
            )

    async def move(self) -> None:
        """Move the minutes that are over, and learn from them.

        Raises:
            StoreError: a server did not answer.
        """
        await roll_minutes(octoqueue.get_broker().store(), self._minutes, self._queues)
        if self._can_learn:
            await self._forecasting.round()


@asynccontextmanager
async def _history(settings: Settings) -> AsyncGenerator[History]:
    """Open it; the database is open already."""
    redis = settings.redis
    client = RedisClient(
        await redis_url(settings),
        cluster=redis.topology == "cluster",
        pool_size=_CONNECTIONS,
        timeout=redis.command_timeout,
        connect_timeout=redis.connect_timeout,
    )
    try:
        memory = RedisScalingMemory(client, namespace=settings.namespace)
        minutes = Minutes(DATABASE.get())
        policies = [
            policy_from(settings, name)
            for name, fleet in settings.fleets.items()
            if fleet.kind == "worker"
        ]
        queues = {queue for policy in policies for queue in policy.queues}
        yield History(minutes, Forecasting(minutes, memory, policies), tuple(sorted(queues)))
    finally:
        await client.aclose()


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
        await HISTORY.get().move()
    except StoreError as exc:
        log.warning("minutes_left_for_later", extra={"reason": str(exc)})
