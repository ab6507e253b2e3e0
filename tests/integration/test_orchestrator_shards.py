"""Partitions over two databases: each has a writer of its own, and one orchestrator drives both."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import octoqueue
from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.routing.partitions import PartitionMap
from octoqueue.workflows.context import Context  # noqa: TC001 - types of workflows are read at run time
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from octoqueue.workflows.protocol import Filter
from octoqueue.workflows.sharded import ShardedWorkflowStore
from octoqueue.workflows.states import StepKind, StepStatus
from tests.databases import fresh_database
from tests.running import until
from tests.workflow_world import PARTITIONS, real_world

if TYPE_CHECKING:
    from octoqueue.workflows.protocol import Loaded

EXECUTIONS = 16


def has_called(loaded: Loaded) -> bool:
    return any(step.kind is StepKind.CALL for step in loaded.steps)


async def test_executions_of_two_databases_survive_the_death_of_their_orchestrator(
    postgres_dsn: str, redis_url: str
) -> None:
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(real_world(postgres_dsn, redis_url))
        shards: list[PostgresWorkflowStore] = []
        for _ in range(2):
            dsn = await stack.enter_async_context(fresh_database(postgres_dsn))
            pool = await stack.enter_async_context(PostgresPool(dsn))
            await Migrator(pool).migrate()
            shards.append(PostgresWorkflowStore(pool))
            stack.push_async_callback(shards[-1].aclose)
        world.store = ShardedWorkflowStore(shards, PartitionMap(PARTITIONS))
        world.options = replace(world.options, shards=2, lease=timedelta(seconds=1))

        @octoqueue.actor(broker=world.broker)
        async def add(number: int) -> int:
            return number + 1

        @world.workflow()
        async def child(ctx: Context, number: int) -> int:
            return await ctx.call(add, number)

        @world.workflow()
        async def parent(ctx: Context, number: int) -> int:
            number = await ctx.call(add, number)
            return await ctx.child(child, number)

        async with world.mortal() as (first, _):
            started = [await world.start(parent, number) for number in range(EXECUTIONS)]
            for execution in started:
                loaded = await world.until(execution, has_called)
                assert loaded.steps[0].status is StepStatus.PENDING
        async with world.orchestrating() as second, world.working():
            results = [await world.result(execution) for execution in started]
            assert results == [number + 2 for number in range(EXECUTIONS)]
            await until(lambda: len(second.held) == PARTITIONS)
        kept = [await shard.executions(Filter(), limit=4 * EXECUTIONS) for shard in shards]
    assert first.totals.begun == EXECUTIONS
    assert all(kept)
    assert sum(map(len, kept)) == 2 * EXECUTIONS
    for executions in kept:
        homes = {execution.partition for execution in executions}
        assert len(homes) == PARTITIONS // 2
