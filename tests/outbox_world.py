"""A database with the outbox, a namespace in Redis, and relays between them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.lanes.options import LaneOptions
from octoqueue.maintenance.relay import Relay
from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.outbox import Outbox
from octoqueue.postgres.pool import PostgresPool
from octoqueue.primitives.messages import SessionId
from tests.databases import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.broker.handles import MessageHandle
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.messages import Lease

SESSION = SessionId("reader")
QUEUE = "crash"


@dataclass(frozen=True)
class OutboxWorld:
    """Everything a test of the outbox needs."""

    dsn: str
    pool: PostgresPool
    outbox: Outbox
    broker: LaneBroker
    store: LaneStore

    def relay(self, *, outbox: Outbox | None = None, store: LaneStore | None = None) -> Relay:
        """A relay that does nothing by itself yet."""
        return Relay(outbox or self.outbox, store or self.store, self.broker)

    async def drained(self) -> None:
        """Relay until nothing is left to do now."""
        relay = self.relay()
        while await relay.relay():
            pass

    async def add(self, *messages: MessageHandle[Any]) -> None:
        """Enqueue in a transaction of their own."""
        async with self.pool.transaction(purpose="test") as connection:
            await octoqueue.enqueue_in(connection, *messages, broker=self.broker)

    async def rows(self) -> int:
        """How many rows there are, failed or not."""
        return len(await self.outbox.entries(limit=10_000, failed_only=False))

    async def claim(self, queue: str = QUEUE) -> list[Lease]:
        """What a worker would get."""
        return await self.store.claim(SESSION, [queue], limit=10_000)


@asynccontextmanager
async def outbox_world(
    postgres_dsn: str, redis_url: str, options: LaneOptions | None = None
) -> AsyncGenerator[OutboxWorld]:
    """Lend a world; nothing of it remains."""
    options = replace(options or LaneOptions(), namespace=f"t{uuid4().hex[:12]}")
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(fresh_database(postgres_dsn))
        pool = await stack.enter_async_context(PostgresPool(dsn))
        await Migrator(pool).migrate()
        broker = LaneBroker(redis_url, options=options)
        await stack.enter_async_context(broker.connected())
        yield OutboxWorld(dsn, pool, Outbox(pool), broker, broker.store())
