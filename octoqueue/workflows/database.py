"""The database of the configuration: opened, waited for, migrated.

A process may start before its database: it waits for it as long as `START_TIMEOUT`, because the
schema must be there before the first statement. Later outages are met call by call.
"""

from __future__ import annotations

import logging
import os
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from octoqueue.embedded.services import EmbeddedServices
from octoqueue.embedded.state_dir import default_state_dir
from octoqueue.errors import StoreError
from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.primitives.clock import SystemClock
from octoqueue.routing.partitions import PartitionMap
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from octoqueue.workflows.sharded import ShardedWorkflowStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.settings.root import Settings
    from octoqueue.workflows.protocol import WorkflowStore

log = logging.getLogger(__name__)

START_TIMEOUT: Final = timedelta(seconds=30)
_AGAIN_SECONDS: Final = 0.5


@asynccontextmanager
async def opened_database(
    settings: Settings, *, application_name: str, url: str | None = None
) -> AsyncGenerator[PostgresPool]:
    """Lend a pool on a migrated database; `application_name` is what the server shows.

    Without a configured URL it joins the private PostgreSQL of this machine, starting it when
    nobody has. On a database in use only what yesterday's code can live with is applied:
    post-migrations are for the operator, after the roll-out. With `url` it is that database.

    Raises:
        ConfigError: the URL is wrong.
        EmbeddedError: no URL, and the private server cannot be started.
        SchemaMismatch: the database's migrations are not ours.
        StoreUnavailable: the database was not there within `START_TIMEOUT`.
    """
    async with await _pool_of(settings, application_name, url) as pool:
        await _migrate(pool)
        yield pool


@asynccontextmanager
async def opened_workflow_store_of(
    settings: Settings, *, application_name: str
) -> AsyncGenerator[WorkflowStore]:
    """Lend the store of workflows that a configuration means: migrated, and over all its shards.

    Raises like `opened_database`.
    """
    async with AsyncExitStack() as stack:
        yield await workflow_store_in(stack, settings, application_name=application_name)


async def workflow_store_in(
    stack: AsyncExitStack, settings: Settings, *, application_name: str
) -> WorkflowStore:
    """Return what `opened_workflow_store_of` lends, for as long as a stack is open.

    No generator is left open by it: a loop that ends closes all of its generators at once, and then
    none can close another.
    """
    stores: list[WorkflowStore] = []
    for url in settings.workflows.shards or (None,):
        pool = await stack.enter_async_context(await _pool_of(settings, application_name, url))
        await _migrate(pool)
        store = PostgresWorkflowStore(pool)
        stack.push_async_callback(store.aclose)
        stores.append(store)
    if len(stores) == 1:
        return stores[0]
    return ShardedWorkflowStore(stores, PartitionMap(settings.workflows.partitions))


async def database_url(settings: Settings) -> str:
    """Return where the database is, starting the private one when no URL is configured.

    Raises:
        EmbeddedError: it cannot be started.
    """
    if settings.postgres.url is not None:
        return settings.postgres.url
    embedded = settings.embedded
    state_dir = embedded.state_dir or default_state_dir(
        embedded.name,
        environ=os.environ,  # noqa: TID251 - the state folder is the user's environment's
    )
    # Joined, not owned: it goes on for whoever else uses it.
    return await EmbeddedServices(state_dir).start_postgres()


async def _pool_of(settings: Settings, application_name: str, url: str | None) -> PostgresPool:
    """Return a pool that is not open yet."""
    postgres = settings.postgres
    return PostgresPool(
        await database_url(settings) if url is None else url,
        application_name=application_name,
        min_size=postgres.pool_min,
        max_size=postgres.pool_max,
        query_timeout=postgres.statement_timeout,
        connect_timeout=postgres.connect_timeout,
        idle_lifetime=postgres.idle_timeout,
    )


async def _migrate(pool: PostgresPool) -> None:
    """Apply what is pending, waiting for the database."""
    clock = SystemClock()
    patience = clock.monotonic() + START_TIMEOUT.total_seconds()
    while True:
        try:
            applied = await Migrator(pool).migrate(before_code=True)
        except StoreError as exc:
            if not exc.retryable or clock.monotonic() >= patience:
                raise
            log.warning("database_awaited", extra={"reason": str(exc)})
            await clock.sleep(_AGAIN_SECONDS)
        else:
            for migration in applied:
                log.info("migration_applied", extra={"migration": migration.name})
            return
