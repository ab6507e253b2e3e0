"""The composition root of the platform: configuration to task store, and back down in reverse.

The only module here that knows which server is behind which protocol. Every process of the platform
opens its own store, one per event loop; `octoqueue.workflows.database` waits for the server and
migrates it.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from octoqueue.errors import ConfigError
from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.outbox import Outbox
from octoqueue.postgres.pool import PostgresPool
from octoqueue.routing.partitions import PartitionMap
from octoqueue.workflows.database import database_url, opened_database
from octoqueue.workflows.postgres_tasks import PostgresTaskStore
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from workers.acceptance import Acceptance
from workers.direct_acceptance import DirectAcceptance

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.settings.root import Settings
    from octoqueue.workflows.protocol import WorkflowStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where tasks are kept, and taken in; where workflows are kept."""

    pool: PostgresPool
    tasks: PostgresTaskStore
    accept: Acceptance
    accept_direct: DirectAcceptance
    outbox: Outbox
    workflows: WorkflowStore


@asynccontextmanager
async def opened_tasks(
    settings: Settings, *, application_name: str
) -> AsyncGenerator[PostgresTaskStore]:
    """Lend a task store on a migrated database; raises as `opened_database` does."""
    async with opened_database(settings, application_name=application_name) as pool:
        store = PostgresTaskStore(pool)
        try:
            yield store
        finally:
            await store.aclose()


@asynccontextmanager
async def opened_desk(
    settings: Settings, broker: LaneBroker, *, application_name: str
) -> AsyncGenerator[Desk]:
    """Lend what takes tasks in; raises as `opened_database` does.

    Raises:
        ConfigError: workflows are divided over several databases.
    """
    if settings.workflows.shards:
        raise ConfigError(
            "workflows.shards: a task and its workflow are written in one transaction, so the "
            "platform keeps both in postgres.url",
            key="workflows.shards",
        )
    async with opened_database(settings, application_name=application_name) as pool:
        tasks = PostgresTaskStore(pool)
        workflows = PostgresWorkflowStore(pool)
        partitions = PartitionMap(settings.workflows.partitions)
        accept = Acceptance(pool, tasks, workflows, broker, partitions=partitions)
        accept_direct = DirectAcceptance(pool, tasks, broker)
        try:
            yield Desk(
                pool=pool,
                tasks=tasks,
                accept=accept,
                accept_direct=accept_direct,
                outbox=Outbox(pool),
                workflows=workflows,
            )
        finally:
            await accept.aclose()
            await accept_direct.aclose()
            await workflows.aclose()
            await tasks.aclose()


async def migrate_fully(settings: Settings) -> None:
    """Apply every pending migration, post-migrations too: for the operator.

    Raises:
        SchemaMismatch: the database's migrations are not ours.
        StoreUnavailable: the database cannot be reached.
    """
    url = await database_url(settings)
    async with PostgresPool(url, application_name="octoqueue admin") as pool:
        for migration in await Migrator(pool).migrate():
            log.info("migration_applied", extra={"migration": migration.name})
