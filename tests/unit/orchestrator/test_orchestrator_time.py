"""What an orchestrator does because time has passed; the clock is told."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

import octoqueue
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.workflows.context import Context  # noqa: TC001 - types of workflows are read at run time
from octoqueue.workflows.definitions import Registry, define
from octoqueue.workflows.executions import message_id_of
from octoqueue.workflows.letters import Completion, completion_message, queue_of
from octoqueue.workflows.states import ExecutionStatus
from tests.running import WatchedStore, gone
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


def blocked(execution: Execution) -> bool:
    return execution.status is ExecutionStatus.BLOCKED


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


async def test_what_ended_while_nobody_was_there_is_not_sent_again_however_long_its_letter_waits(
    world: WorkflowWorld, clock: FakeClock
) -> None:
    @octoqueue.actor(broker=world.broker)
    async def step() -> int:
        """Ran once, and costs."""
        return 5

    @world.workflow()
    async def calls(ctx: Context) -> int:
        return await ctx.call(step)

    async with world.mortal():
        execution = await world.start(calls)
        await passes(clock, timedelta(seconds=1))
    await world.lanes.flush("default")
    letter = completion_message(
        Completion(execution.execution_id, "1", "completed", 5),
        to=queue_of(execution.partition),
        lane=execution.lane,
        beside=message_id_of(execution.execution_id),
        now_ms=clock.now_ms(),
        limit_bytes=1_000,
    )
    await world.lanes.enqueue([[letter]])
    lanes: Any = WatchedStore(world.lanes)
    is_read = asyncio.Event()
    lanes.before["claim"] = lanes.before["claim_when_rung"] = is_read.wait
    async with world.mortal(lanes=lanes) as (orchestrator, _):
        await passes(clock, timedelta(minutes=5))
        assert orchestrator.totals.resent == 0
        is_read.set()
        await passes(clock, timedelta(seconds=5))
        assert await has(world, execution, completed)
    assert orchestrator.totals.resent == 0


async def test_what_was_blocked_goes_on_within_a_minute_of_its_code_being_there(
    world: WorkflowWorld, clock: FakeClock
) -> None:
    @world.workflow()
    async def nothing(ctx: Context) -> None:
        return None

    registry = Registry()
    async with world.orchestrating(registry=registry):
        execution = await world.start(nothing)
        await passes(clock, timedelta(seconds=2))
        assert await has(world, execution, blocked)
        define(nothing.function, name="nothing", registry=registry)
        await passes(clock, timedelta(minutes=1))
        assert await has(world, execution, completed)


async def test_many_executions_without_code_are_one_line_of_the_log(
    world: WorkflowWorld, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    @world.workflow()
    async def nothing(ctx: Context) -> None:
        return None

    async with world.orchestrating(registry=Registry()) as orchestrator:
        for _ in range(20):
            await world.start(nothing)
        await passes(clock, timedelta(minutes=5))
    told = [record for record in caplog.records if record.message == "execution_blocked"]
    warnings = [record for record in told if record.levelname == "WARNING"]
    assert [vars(record)["hint"] for record in warnings] == [
        "every orchestrator must import all workflows"
    ]
    assert orchestrator.totals.blocked == 20


async def test_a_sleep_that_begins_while_nothing_is_due_rings_when_it_is_over(
    world: WorkflowWorld, clock: FakeClock
) -> None:
    @world.workflow()
    async def naps(ctx: Context) -> None:
        await ctx.sleep(timedelta(milliseconds=20))

    async with world.orchestrating():
        execution = await world.start(naps)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        clock.advance(20)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert await has(world, execution, completed)


async def test_both_servers_gone_for_a_minute_lose_nothing_and_fill_no_log(
    world: WorkflowWorld, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    @world.workflow()
    async def naps(ctx: Context) -> None:
        await ctx.sleep(timedelta(seconds=20))

    store: Any = WatchedStore(cast("Any", world.store))
    lanes: Any = WatchedStore(world.lanes)
    is_gone = False

    async def fail() -> None:
        if is_gone:
            raise gone()

    for verb in ("attend", "take", "load", "write", "timers", "open_executions", "pending_calls"):
        store.before[verb] = fail
    for verb in ("claim", "claim_when_rung", "commit", "extend", "stats", "announce", "ring"):
        lanes.before[verb] = fail
    async with world.orchestrating(store=store, lanes=lanes):
        started = [await world.start(naps) for _ in range(50)]
        await passes(clock, timedelta(seconds=5))
        caplog.clear()
        is_gone = True
        await passes(clock, timedelta(minutes=1))
        is_gone = False
        late = await world.start(naps)
        await passes(clock, timedelta(seconds=40))
        for execution in (*started, late):
            assert await has(world, execution, completed)
    assert len(caplog.records) < 40, [record.message for record in caplog.records]
