"""Workflows on real servers: orchestrators, workers, Redis and PostgreSQL in one loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import octoqueue
from octoqueue.workflows.context import Context  # noqa: TC001 - types of workflows are read at run time
from tests.workflow_world import memory_world

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.workflow_world import WorkflowWorld

import pytest


@pytest.fixture
async def world() -> AsyncGenerator[WorkflowWorld]:
    async with memory_world() as world:
        yield world


async def test_three_steps_run_one_after_the_other(world: WorkflowWorld) -> None:
    @octoqueue.actor(broker=world.broker, results=True)
    async def double(number: int) -> int:
        return 2 * number

    @world.workflow()
    async def three(ctx: Context, number: int) -> int:
        for _ in range(3):
            number = await ctx.call(double, number)
        return number

    async with world.orchestrating(), world.working():
        assert await world.result(await world.start(three, 1)) == 8
