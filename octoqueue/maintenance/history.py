"""`History`: what is to be done every minute, so that there are forecasts.

The platform's admin workers do it. A program of your own does it in a periodic actor:

    @octoqueue.periodic(every=timedelta(minutes=1))
    @octoqueue.actor(queue="upkeep", max_retries=0, time_limit=timedelta(seconds=50))
    async def move_minutes() -> None:
        await history.move(octoqueue.get_broker().store())

with `history` from `opened_history`, entered in the module's `lifespan`.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from octoqueue.broker.sources import redis_url
from octoqueue.maintenance.forecasting import Forecasting
from octoqueue.maintenance.minutes import roll_minutes
from octoqueue.metrics.redis_scaling_memory import RedisScalingMemory
from octoqueue.postgres.minutes import Minutes
from octoqueue.redis.client import RedisClient
from octoqueue.settings.scaling import policy_from

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.postgres.pool import PostgresPool
    from octoqueue.settings.root import Settings

log = logging.getLogger(__name__)

_CONNECTIONS: Final = 2


class History:
    """History and forecasts of some queues."""

    def __init__(self, minutes: Minutes, forecasting: Forecasting, queues: Sequence[str]) -> None:
        self._minutes = minutes
        self._forecasting = forecasting
        self._queues = tuple(queues)
        self._can_learn = find_spec("numpy") is not None
        if not self._can_learn:
            log.warning("forecasts_off", extra={"missing": "numpy: install octoqueue[forecast]"})

    async def move(self, store: LaneStore) -> None:
        """Move the minutes that are over into history, and learn from them.

        Call it every minute. Whatever fails is made up for by the next call within eight minutes.

        Raises:
            StoreError: a server did not answer.
        """
        await roll_minutes(store, self._minutes, self._queues)
        if self._can_learn:
            await self._forecasting.round()


@asynccontextmanager
async def opened_history(settings: Settings, pool: PostgresPool) -> AsyncGenerator[History]:
    """Open the history of the queues of all configured fleets of workers.

    Args:
        settings: which fleets, and where Redis is.
        pool: the database, which stays the caller's.

    Raises:
        EmbeddedError: no Redis is configured, and the private one cannot be started.
    """
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
        minutes = Minutes(pool)
        policies = [
            policy_from(settings, name)
            for name, fleet in settings.fleets.items()
            if fleet.kind == "worker"
        ]
        queues = {queue for policy in policies for queue in policy.queues}
        yield History(minutes, Forecasting(minutes, memory, policies), sorted(queues))
    finally:
        await client.aclose()
