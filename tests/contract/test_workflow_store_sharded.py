from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_workflows import MemoryWorkflowStore
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from octoqueue.workflows.sharded import ShardedWorkflowStore
from tests.contract.test_workflow_store_postgres import AGE
from tests.contract.workflow_store import WorkflowStoreContract
from tests.contract.workflow_values import MAP
from tests.databases import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import timedelta

    from octoqueue.workflows.protocol import WorkflowStore
    from tests.contract.workflow_holds import Ages


class TestShardsInMemory(WorkflowStoreContract):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> WorkflowStore:
        return ShardedWorkflowStore([MemoryWorkflowStore(clock=clock) for _ in range(3)], MAP)

    @pytest.fixture
    def age(self, clock: FakeClock) -> Ages:
        async def age(by: timedelta) -> None:
            clock.advance(by)

        return age


class TestShardsInTwoDatabases(WorkflowStoreContract):
    @pytest.fixture
    async def pools(self, postgres_dsn: str) -> AsyncGenerator[list[PostgresPool]]:
        async with AsyncExitStack() as stack:
            pools: list[PostgresPool] = []
            for _ in range(2):
                dsn = await stack.enter_async_context(fresh_database(postgres_dsn))
                pools.append(await stack.enter_async_context(PostgresPool(dsn)))
                await Migrator(pools[-1]).migrate()
            yield pools

    @pytest.fixture
    async def store(self, pools: list[PostgresPool]) -> AsyncGenerator[WorkflowStore]:
        store = ShardedWorkflowStore([PostgresWorkflowStore(pool) for pool in pools], MAP)
        yield store
        await store.aclose()

    @pytest.fixture
    def age(self, pools: list[PostgresPool]) -> Ages:
        async def age(by: timedelta) -> None:
            for pool in pools:
                async with pool.dedicated(purpose="age") as connection:
                    await connection.execute(AGE, by)

        return age
