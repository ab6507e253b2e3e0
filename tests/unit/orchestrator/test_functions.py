"""What functions of `ctx.run` may do to the orchestrator that runs them: nothing."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING

import orjson
import pytest

from octoqueue.orchestrator.orchestrator import OrchestratorOptions
from octoqueue.workflows.context import Context  # noqa: TC001 - types of workflows are read at run time
from octoqueue.workflows.states import ExecutionStatus
from tests.running import until
from tests.workflow_world import memory_world

if TYPE_CHECKING:
    from collections.abc import Callable


def exits() -> None:
    sys.exit(3)


async def exits_on_the_loop() -> None:
    sys.exit(3)


async def raises_cancelled() -> None:
    raise asyncio.CancelledError


def runs_out() -> None:
    raise StopIteration


@pytest.mark.parametrize("function", [exits, exits_on_the_loop, raises_cancelled, runs_out])
async def test_whatever_a_function_raises_fails_its_step_alone(
    function: Callable[[], object],
) -> None:
    async with memory_world() as world:

        @world.workflow()
        async def local(ctx: Context) -> None:
            await ctx.run(function)

        @world.workflow()
        async def other(ctx: Context) -> str:
            return await ctx.run(lambda: "well")

        async with world.orchestrating():
            ended = await world.ended(await world.start(local))
            assert ended.status is ExecutionStatus.FAILED
            assert orjson.loads(ended.error or b"")["error"] == "StepFailed"
            assert await world.result(await world.start(other)) == "well"


async def test_a_thread_that_never_ends_takes_no_room_once_its_execution_is_cancelled() -> None:
    begun, release = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait()

    options = OrchestratorOptions(partitions=4, concurrency=1)
    async with memory_world(options=options) as world:

        @world.workflow()
        async def hangs(ctx: Context) -> None:
            await ctx.run(hang)

        @world.workflow()
        async def other(ctx: Context) -> str:
            return await ctx.run(lambda: "well")

        try:
            async with world.orchestrating():
                stuck = await world.start(hangs)
                await until(begun.is_set)
                await world.cancel(stuck.workflow_id)
                assert (await world.ended(stuck)).status is ExecutionStatus.CANCELLED
                assert await world.result(await world.start(other)) == "well"
        finally:
            release.set()
