from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from tests.contract.workflow_store import WorkflowStoreContract
from tests.databases import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import timedelta

    from octoqueue.workflows.protocol import WorkflowStore
    from tests.contract.workflow_holds import Ages

AGE = "update agents set expires_at = expires_at - $1::interval"


class TestPostgresWorkflowStore(WorkflowStoreContract):
    @pytest.fixture
    async def pool(self, postgres_dsn: str) -> AsyncGenerator[PostgresPool]:
        async with fresh_database(postgres_dsn) as dsn, PostgresPool(dsn) as pool:
            await Migrator(pool).migrate()
            yield pool

    @pytest.fixture
    async def store(self, pool: PostgresPool) -> AsyncGenerator[WorkflowStore]:
        store = PostgresWorkflowStore(pool)
        yield store
        await store.aclose()

    @pytest.fixture
    def age(self, pool: PostgresPool) -> Ages:
        async def age(by: timedelta) -> None:
            async with pool.dedicated(purpose="age") as connection:
                await connection.execute(AGE, by)

        return age
