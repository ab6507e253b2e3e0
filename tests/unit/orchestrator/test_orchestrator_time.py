"""What an orchestrator does because time has passed; the clock is told."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import octoqueue
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.workflows.context import Context  # noqa: TC001 - types of workflows are read at run time
from octoqueue.workflows.states import ExecutionStatus
from tests.workflow_world import memory_world

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from octoqueue.workflows.executions import Execution
    from tests.workflow_world import WorkflowWorld

BEAT = timedelta(milliseconds=500)
TURNS = 30


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def world(clock: FakeClock) -> AsyncGenerator[WorkflowWorld]:
    async with memory_world(clock=clock) as world:
        yield world


async def passes(clock: FakeClock, time: timedelta) -> None:
    """Let time pass in beats that no lease outlasts, and everybody do what he does then."""
    for _ in range(time // BEAT):
        clock.advance(BEAT)
        for _ in range(TURNS):
            await asyncio.sleep(0)


async def has(
    world: WorkflowWorld, execution: Execution, fact: Callable[[Execution], bool]
) -> bool:
    found = await world.store.execution(execution.execution_id)
    return found is not None and fact(found)


def completed(execution: Execution) -> bool:
    return execution.status is ExecutionStatus.COMPLETED


async def test_hours_pass_for_who_sleeps(world: WorkflowWorld, clock: FakeClock) -> None:
    @world.workflow()
    async def sleeps(ctx: Context) -> None:
        await ctx.sleep(timedelta(minutes=10))

    async with world.orchestrating():
        execution = await world.start(sleeps)
        await passes(clock, timedelta(minutes=10))
        assert not await has(world, execution, completed)
        await passes(clock, timedelta(seconds=2))
        assert await has(world, execution, completed)


async def test_a_start_whose_nudge_was_lost_is_found_within_seconds(
    world: WorkflowWorld, clock: FakeClock
) -> None:
    @world.workflow()
    async def nothing(ctx: Context) -> None:
        return None

    async with world.orchestrating():
        await passes(clock, timedelta(seconds=1))
        execution = await world.start(nothing, nudged=False)
        await passes(clock, timedelta(seconds=6))
        assert await has(world, execution, completed)


async def test_a_signal_whose_nudge_was_lost_is_found_within_half_a_minute(
    world: WorkflowWorld, clock: FakeClock
) -> None:
    @world.workflow()
    async def asks(ctx: Context) -> str:
        return await ctx.signal("word", str)

    async with world.orchestrating():
        execution = await world.start(asks)
        await passes(clock, timedelta(seconds=1))
        await world.signal(execution.workflow_id, "word", "here", nudged=False)
        await passes(clock, timedelta(seconds=40))
        assert await has(world, execution, completed)


async def test_a_message_that_was_dropped_is_sent_again_after_a_minute(
    world: WorkflowWorld, clock: FakeClock
) -> None:
    @octoqueue.actor(broker=world.broker)
    async def step() -> None:
        """Never runs in this test."""

    @world.workflow()
    async def calls(ctx: Context) -> None:
        await ctx.call(step)

    async with world.orchestrating() as orchestrator:
        await world.start(calls)
        await passes(clock, timedelta(seconds=1))
        assert (await world.lanes.stats("default")).waiting == 1
        await passes(clock, timedelta(seconds=130))
        assert orchestrator.totals.resent == 0, "it is still there"
        await world.lanes.flush("default")
        await passes(clock, timedelta(seconds=130))
        assert (await world.lanes.stats("default")).waiting == 1
        assert orchestrator.totals.resent == 1
