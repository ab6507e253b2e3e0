"""The store of workflows that a configuration means, for those who only look or write a signal.

Nothing is started, migrated or waited for, as `database` does it for processes that stay.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from octoqueue.postgres.pool import PostgresPool
from octoqueue.routing.partitions import PartitionMap
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from octoqueue.workflows.sharded import ShardedWorkflowStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.settings.root import Settings
    from octoqueue.workflows.protocol import WorkflowStore


@asynccontextmanager
async def opened_workflow_store(
    settings: Settings, *, url: str | None, application_name: str
) -> AsyncGenerator[WorkflowStore]:
    """Lend a store over the configured shards; without any, one on the database at `url`.

    Raises:
        ConfigError: a URL is wrong.
        StoreRefused: a server does not let us in.
    """
    urls = settings.workflows.shards or ((url,) if url is not None else ())
    postgres = settings.postgres
    async with AsyncExitStack() as stack:
        stores: list[WorkflowStore] = []
        for each in urls:
            pool = PostgresPool(
                each,
                application_name=application_name,
                min_size=1,
                max_size=postgres.pool_max,
                query_timeout=postgres.statement_timeout,
                connect_timeout=postgres.connect_timeout,
                idle_lifetime=postgres.idle_timeout,
            )
            store = PostgresWorkflowStore(await stack.enter_async_context(pool))
            stack.push_async_callback(store.aclose)
            stores.append(store)
        if len(stores) == 1:
            yield stores[0]
        else:
            yield ShardedWorkflowStore(stores, PartitionMap(settings.workflows.partitions))
