"""What an orchestrator does for executions: steps, functions, time, signals, children, ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import pytest

import octoqueue
from octoqueue.errors import StepFailed
from octoqueue.orchestrator.orchestrator import OrchestratorOptions
from octoqueue.primitives.retry import RetryPolicy
from octoqueue.workflows.context import Context  # noqa: TC001 - types of workflows are read at run time
from octoqueue.workflows.executions import message_id_of
from octoqueue.workflows.states import ExecutionStatus, StepKind, StepStatus
from tests.running import Gate, until
from tests.workflow_world import memory_world

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from octoqueue.primitives.messages import QueueStats
    from octoqueue.workflows.executions import WorkflowId
    from octoqueue.workflows.protocol import Loaded
    from tests.workflow_world import WorkflowWorld

SOON = timedelta(milliseconds=30)
HOUR = timedelta(hours=1)


@pytest.fixture
async def world() -> AsyncGenerator[WorkflowWorld]:
    async with memory_world() as world:
        yield world


def waits_for(kind: StepKind) -> Callable[[Loaded], bool]:
    def waits(loaded: Loaded) -> bool:
        return any(step.kind is kind and step.status is StepStatus.PENDING for step in loaded.steps)

    return waits


async def test_three_steps_run_one_after_the_other(world: WorkflowWorld) -> None:
    @octoqueue.actor(broker=world.broker)
    async def double(number: int) -> int:
        return 2 * number

    @world.workflow()
    async def three(ctx: Context, number: int) -> int:
        for _ in range(3):
            number = await ctx.call(double, number)
        return number

    async with world.orchestrating() as orchestrator, world.working():
        assert await world.result(await world.start(three, 1)) == 8
    assert (orchestrator.totals.begun, orchestrator.totals.ended) == (1, 1)
    assert orchestrator.totals.sent == 3
    assert orchestrator.in_memory == 0


async def test_a_start_nobody_was_nudged_about_is_found(world: WorkflowWorld) -> None:
    @world.workflow()
    async def nothing(ctx: Context) -> str:
        return "done"

    execution = await world.start(nothing, nudged=False)
    async with world.orchestrating():
        assert await world.result(execution) == "done"


async def test_a_step_that_fails_for_good_is_raised_in_the_workflow(world: WorkflowWorld) -> None:
    @octoqueue.actor(broker=world.broker, max_retries=0)
    async def fail() -> None:
        raise ValueError("no such thing")

    @world.workflow()
    async def careful(ctx: Context) -> str:
        try:
            await ctx.call(fail)
        except StepFailed as error:
            return f"{error.error}: {error.detail}"
        return "?"

    async with world.orchestrating(), world.working():
        assert await world.result(await world.start(careful)) == "ValueError: no such thing"


async def test_a_workflow_that_raises_has_failed(world: WorkflowWorld) -> None:
    @world.workflow()
    async def broken(ctx: Context) -> None:
        raise LookupError("gone")

    async with world.orchestrating():
        ended = await world.ended(await world.start(broken))
    assert ended.status is ExecutionStatus.FAILED
    assert orjson.loads(ended.error or b"")["error"] == "LookupError"


async def test_functions_run_here_on_the_loop_and_in_threads_and_are_tried_again(
    world: WorkflowWorld,
) -> None:
    tries: list[str] = []

    async def flaky() -> int:
        tries.append("flaky")
        if len(tries) < 3:
            raise ConnectionError("try again")
        return 1

    def plain(number: int) -> int:
        return number + 1

    def hopeless() -> None:
        raise ConnectionError("never")

    again = RetryPolicy(max_retries=2, min_backoff=timedelta(0), max_backoff=timedelta(0))

    @world.workflow()
    async def local(ctx: Context) -> int:
        first = await ctx.run(flaky, retry=again)
        try:
            await ctx.run(hopeless)
        except StepFailed:
            return await ctx.run(plain, first)
        return 0

    async with world.orchestrating() as orchestrator:
        assert await world.result(await world.start(local)) == 2
    assert orchestrator.totals.functions == 5


async def test_a_cancel_stops_the_function_that_runs_and_the_one_that_waits_for_room() -> None:
    begun: list[int] = []
    stopped = asyncio.Event()

    async def hang(number: int) -> None:
        begun.append(number)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.set()
            raise

    options = OrchestratorOptions(partitions=4, concurrency=1)
    async with memory_world(options=options) as world:

        @world.workflow()
        async def local(ctx: Context, number: int) -> None:
            await ctx.run(hang, number)

        async with world.orchestrating():
            running = await world.start(local, 1)
            await until(lambda: begun == [1])
            waiting = await world.start(local, 2)
            await world.until(waiting, waits_for(StepKind.RUN))
            for execution in (waiting, running):
                await world.cancel(execution.workflow_id)
                assert (await world.ended(execution)).status is ExecutionStatus.CANCELLED
            await stopped.wait()
    assert begun == [1]


async def test_a_function_runs_again_where_its_orchestrator_died(world: WorkflowWorld) -> None:
    begun: list[str] = []

    async def once_more() -> int:
        begun.append("begun")
        if len(begun) == 1:
            await asyncio.sleep(60)
        return len(begun)

    @world.workflow()
    async def local(ctx: Context) -> int:
        return await ctx.run(once_more)

    world.options = replace(world.options, lease=timedelta(seconds=1))
    async with world.mortal():
        execution = await world.start(local)
        await until(lambda: begun)
    async with world.orchestrating():
        assert await world.result(execution) == 2


async def test_time_passes_and_a_deadline_ends_what_lasts_too_long(world: WorkflowWorld) -> None:
    @world.workflow()
    async def short(ctx: Context) -> str:
        await ctx.sleep(SOON)
        return "slept"

    @world.workflow()
    async def long(ctx: Context) -> None:
        await ctx.sleep(HOUR)

    async with world.orchestrating() as orchestrator:
        in_time = await world.start(short)
        deadline_at_ms = world.clock.now_ms() + 50
        late = await world.start(long, deadline_at_ms=deadline_at_ms)
        assert await world.result(in_time) == "slept"
        assert (await world.ended(late)).status is ExecutionStatus.FAILED
    assert orchestrator.totals.timers == 2


async def test_signals_are_taken_when_they_are_waited_for_and_when_they_came_before(
    world: WorkflowWorld,
) -> None:
    @world.workflow()
    async def asks(ctx: Context) -> list[str]:
        first = await ctx.signal("a", str)
        return [first, await ctx.signal("b", str)]

    async with world.orchestrating():
        execution = await world.start(asks)
        await world.until(execution, waits_for(StepKind.SIGNAL))
        await world.signal(execution.workflow_id, "b", "early")
        await world.signal(execution.workflow_id, "a", "asked for")
        assert await world.result(execution) == ["asked for", "early"]


async def test_a_cancel_reaches_the_running_step_and_runs_compensations(
    world: WorkflowWorld,
) -> None:
    gate, undone = Gate(), asyncio.Event()

    @octoqueue.actor(broker=world.broker)
    async def hang() -> None:
        await gate.pass_through()

    @octoqueue.actor(broker=world.broker)
    async def undo() -> None:
        undone.set()

    @world.workflow()
    async def booked(ctx: Context) -> None:
        ctx.on_failure(undo)
        await ctx.call(hang)

    async with world.orchestrating(), world.working():
        execution = await world.start(booked)
        await gate.entered.wait()
        await world.cancel(execution.workflow_id, "changed my mind")
        assert (await world.ended(execution)).status is ExecutionStatus.CANCELLED
        assert undone.is_set()
        stats = world.lanes.stats
        await until(lambda: _is_idle(stats("default")))


async def _is_idle(asked: Awaitable[QueueStats]) -> bool:
    stats = await asked
    return stats.in_flight == 0 and stats.waiting == 0


async def test_children_run_in_the_partition_of_their_parent_and_end_with_it(
    world: WorkflowWorld,
) -> None:
    @world.workflow()
    async def child(ctx: Context, number: int) -> int:
        await ctx.sleep(SOON)
        return number * number

    @world.workflow()
    async def endless(ctx: Context) -> None:
        await ctx.sleep(HOUR)

    @world.workflow()
    async def parent(ctx: Context) -> int:
        numbers: list[int] = await ctx.gather(*(ctx.child(child, n) for n in range(5)))
        return sum(numbers)

    @world.workflow()
    async def guardian(ctx: Context) -> None:
        await ctx.child(endless)

    async with world.orchestrating():
        assert await world.result(await world.start(parent)) == 30
        execution = await world.start(guardian)
        loaded = await world.until(execution, waits_for(StepKind.CHILD))
        await world.cancel(execution.workflow_id)
        assert (await world.ended(execution)).status is ExecutionStatus.CANCELLED
        (step,) = [step for step in loaded.steps if step.kind is StepKind.CHILD]
        assert step.child_id is not None
        orphan = await world.store.execution(step.child_id)
        assert orphan is not None
        assert (await world.ended(orphan)).status is ExecutionStatus.CANCELLED


async def test_an_execution_continues_as_a_new_one(world: WorkflowWorld) -> None:
    @world.workflow()
    async def counting(ctx: Context, number: int) -> int:
        if number < 3:
            ctx.continue_as_new(number + 1)
        return number

    async with world.orchestrating():
        first = await world.start(counting, 1)
        assert (await world.ended(first)).status is ExecutionStatus.CONTINUED
        await until(lambda: _has_ended_in_run(world, first.workflow_id, 3))
        last = await world.store.newest(first.workflow_id)
        assert last is not None
        assert await world.result(last) == 3


async def _has_ended_in_run(world: WorkflowWorld, workflow_id: WorkflowId, run: int) -> bool:
    newest = await world.store.newest(workflow_id)
    return newest is not None and newest.run == run and newest.is_final


async def test_events_and_results_are_announced(world: WorkflowWorld) -> None:
    @world.workflow()
    async def telling(ctx: Context) -> int:
        ctx.emit({"half": True})
        await ctx.sleep(SOON)
        return 5

    async with world.orchestrating():
        execution = await world.start(telling)
        ident = message_id_of(execution.execution_id)
        heard = [event async for event in world.lanes.events(ident)]
        assert [event.data.get("value") for event in heard] == [{"half": True}, None]
        record = await world.lanes.wait_for_result(ident, timeout=HOUR)
    assert orjson.loads(record or b"")["output"] == 5


async def test_more_than_may_be_in_memory_are_replayed_when_something_happens_to_them() -> None:
    options = OrchestratorOptions(partitions=4, max_in_memory=5)
    async with memory_world(options=options) as world:

        @octoqueue.actor(broker=world.broker)
        async def same(number: int) -> int:
            return number

        @world.workflow()
        async def asks(ctx: Context, number: int) -> int:
            number = await ctx.call(same, number)
            return number + await ctx.signal("more", int)

        async with world.orchestrating() as orchestrator, world.working():
            started = [await world.start(asks, number) for number in range(40)]
            for execution in started:
                await world.until(execution, waits_for(StepKind.SIGNAL))
            assert orchestrator.in_memory <= 5
            for execution in started:
                await world.signal(execution.workflow_id, "more", 100)
            results = [await world.result(execution) for execution in started]
    assert results == [100 + number for number in range(40)]
    assert orchestrator.totals.replays >= 35
    assert orchestrator.totals.evicted >= 35
