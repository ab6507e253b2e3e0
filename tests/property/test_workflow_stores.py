from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.testing.memory_workflows import MemoryWorkflowStore
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from octoqueue.workflows.sharded import ShardedWorkflowStore
from tests.contract.workflow_values import MAP
from tests.databases import fresh_database
from tests.property.workflow_commands import Script

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.workflows.protocol import WorkflowStore

# Ids are made anew in every run, so a shorter example is another one.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
EMPTY = """
truncate workflows, workflow_executions, workflow_steps, workflow_signals, workflow_timers, agents,
  workflow_partitions
"""


def memory_store() -> WorkflowStore:
    return MemoryWorkflowStore()


@given(data=st.data())
@settings(max_examples=200, phases=PHASES)
def test_shards_in_memory_answer_like_one_store(data: st.DataObject) -> None:
    shards = ShardedWorkflowStore([memory_store() for _ in range(3)], MAP)
    asyncio.run(Script([memory_store(), shards], data).run(verbs=15))


async def database(postgres_dsn: str) -> AsyncGenerator[PostgresPool]:
    async with fresh_database(postgres_dsn) as dsn, PostgresPool(dsn) as pool:
        await Migrator(pool).migrate()
        yield pool


def test_memory_and_postgresql_answer_the_same(postgres_dsn: str) -> None:
    with asyncio.Runner() as runner:
        databases = database(postgres_dsn)
        pool = runner.run(anext(databases))

        async def example(data: st.DataObject) -> None:
            async with pool.dedicated(purpose="empty") as connection:
                await connection.execute(EMPTY)
            store = PostgresWorkflowStore(pool)
            await Script([memory_store(), store], data).run(verbs=12)
            await store.aclose()

        @given(data=st.data())
        @settings(max_examples=20, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
        def examples(data: st.DataObject) -> None:
            runner.run(example(data))

        try:
            examples()
        finally:
            runner.run(databases.aclose())
