"""A relay together with what wakes it, for the time of a block."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from octoqueue.maintenance.relay import Relay
from octoqueue.postgres.listener import Listener
from octoqueue.postgres.outbox import CHANNEL, Outbox
from octoqueue.primitives.service import ServiceGroup

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.postgres.pool import PostgresPool


@asynccontextmanager
async def relaying(pool: PostgresPool, broker: LaneBroker) -> AsyncGenerator[Relay]:
    """Relay the outbox of a database while the block lasts; the broker is connected."""
    relay = Relay(Outbox(pool), broker.store(), broker)
    async with ServiceGroup([relay, Listener(pool, CHANNEL, relay.nudge)]):
        yield relay
