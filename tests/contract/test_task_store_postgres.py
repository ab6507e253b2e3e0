from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.workflows.postgres_tasks import PostgresTaskStore
from tests.contract.task_store import TaskStoreContract
from tests.databases import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.workflows.task_protocol import TaskStore


class TestPostgresTaskStore(TaskStoreContract):
    @pytest.fixture
    async def pool(self, postgres_dsn: str) -> AsyncGenerator[PostgresPool]:
        async with fresh_database(postgres_dsn) as dsn, PostgresPool(dsn) as pool:
            await Migrator(pool).migrate()
            yield pool

    @pytest.fixture
    async def store(self, pool: PostgresPool) -> AsyncGenerator[TaskStore]:
        store = PostgresTaskStore(pool)
        yield store
        await store.aclose()
