"""The composition root of the platform: configuration to task store, and back down in reverse.

The only module here that knows which server is behind which protocol. Every process of the platform
opens its own store, one per event loop; without a configured URL it joins the private PostgreSQL of
this machine, starting it when nobody has.

A process may start before its database: it waits for it as long as `START_TIMEOUT`, because the
schema must be there before the first statement. Later outages are met call by call.
"""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from octoqueue.embedded.services import EmbeddedServices
from octoqueue.embedded.state_dir import default_state_dir
from octoqueue.errors import StoreError
from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.primitives.clock import SystemClock
from octoqueue.workflow.postgres_tasks import PostgresTaskStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.settings.root import Settings

log = logging.getLogger(__name__)

START_TIMEOUT: Final = timedelta(seconds=30)
_AGAIN_SECONDS: Final = 0.5


@asynccontextmanager
async def opened_tasks(
    settings: Settings, *, application_name: str
) -> AsyncGenerator[PostgresTaskStore]:
    """Lend a task store on a migrated database; `application_name` is what the server shows.

    Raises:
        ConfigError: the URL is wrong.
        EmbeddedError: no URL, and the private server cannot be started.
        SchemaMismatch: the database's migrations are not ours.
        StoreUnavailable: the database was not there within `START_TIMEOUT`.
    """
    postgres = settings.postgres
    pool = PostgresPool(
        await _dsn(settings),
        application_name=application_name,
        min_size=postgres.pool_min,
        max_size=postgres.pool_max,
        query_timeout=postgres.statement_timeout,
        connect_timeout=postgres.connect_timeout,
        idle_lifetime=postgres.idle_timeout,
    )
    async with pool:
        await _migrate(pool)
        store = PostgresTaskStore(pool)
        try:
            yield store
        finally:
            await store.aclose()


async def _dsn(settings: Settings) -> str:
    if settings.postgres.url is not None:
        return settings.postgres.url
    embedded = settings.embedded
    state_dir = embedded.state_dir or default_state_dir(embedded.name, environ=os.environ)
    # Joined, not owned: it goes on for whoever else uses it.
    return await EmbeddedServices(state_dir).start_postgres()


async def _migrate(pool: PostgresPool) -> None:
    """Apply what is pending, waiting for the database.

    On a database in use only what yesterday's code can live with is applied: post-migrations are
    for the operator, after the roll-out.
    """
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


async def migrate_fully(settings: Settings) -> None:
    """Apply every pending migration, post-migrations too: for the operator.

    Raises:
        SchemaMismatch: the database's migrations are not ours.
        StoreUnavailable: the database cannot be reached.
    """
    async with PostgresPool(await _dsn(settings), application_name="octoqueue admin") as pool:
        for migration in await Migrator(pool).migrate():
            log.info("migration_applied", extra={"migration": migration.name})
