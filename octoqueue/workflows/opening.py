"""The store of workflows that a configuration means, opened; who starts servers is elsewhere."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from octoqueue.postgres.pool import PostgresPool
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.settings.postgres import PostgresSettings
    from octoqueue.workflows.protocol import WorkflowStore


@asynccontextmanager
async def opened_workflow_store(
    url: str, postgres: PostgresSettings, *, application_name: str
) -> AsyncGenerator[WorkflowStore]:
    """Lend a store on the database at `url`; it is not migrated.

    Raises:
        ConfigError: the URL is wrong.
        StoreRefused: the server does not let us in.
    """
    pool = PostgresPool(
        url,
        application_name=application_name,
        min_size=postgres.pool_min,
        max_size=postgres.pool_max,
        query_timeout=postgres.statement_timeout,
        connect_timeout=postgres.connect_timeout,
        idle_lifetime=postgres.idle_timeout,
    )
    async with pool:
        store = PostgresWorkflowStore(pool)
        try:
            yield store
        finally:
            await store.aclose()
