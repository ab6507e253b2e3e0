"""Workflows on real servers: orchestrators, workers, Redis and PostgreSQL in one loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

import octoqueue
from octoqueue.workflows.context import Context  # noqa: TC001 - types of workflows are read at run time
from octoqueue.workflows.states import StepKind, StepStatus
from tests.running import Gate, WatchedStore, until
from tests.workflow_world import OPTIONS, PARTITIONS, real_world

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.workflows.definitions import Definition
    from tests.workflow_world import WorkflowWorld

HANDOVER_SECONDS = 5


@pytest.fixture
async def world(postgres_dsn: str, redis_url: str) -> AsyncGenerator[WorkflowWorld]:
    async with real_world(postgres_dsn, redis_url) as world:
        yield world


def three_steps(world: WorkflowWorld) -> tuple[Definition, Counter[int]]:
    """A workflow of three steps, and how often each ran for which workflow."""
    ran: Counter[int] = Counter()

    @octoqueue.actor(broker=world.broker)
    async def add(number: int) -> int:
        ran[number] += 1
        return number + 1

    @world.workflow()
    async def three(ctx: Context, number: int) -> int:
        for _ in range(3):
            number = await ctx.call(add, number)
        return number

    return three, ran


async def test_three_steps_run_one_after_the_other(world: WorkflowWorld) -> None:
    three, ran = three_steps(world)
    async with world.orchestrating(), world.working():
        assert await world.result(await world.start(three, 1)) == 4
    assert ran == {1: 1, 2: 1, 3: 1}


async def test_two_share_the_partitions_and_the_one_that_stays_gets_those_of_the_one_that_leaves(
    world: WorkflowWorld,
) -> None:
    three, _ = three_steps(world)
    async with world.working(), world.orchestrating() as first:
        assert len(first.held) == PARTITIONS
        async with asyncio.timeout(HANDOVER_SECONDS):
            async with world.orchestrating() as second:
                await until(lambda: len(first.held) == len(second.held) == PARTITIONS // 2)
                assert not set(first.held) & set(second.held)
                started = [await world.start(three, 1) for _ in range(20)]
                assert [await world.result(each) for each in started] == [4] * 20
                assert first.totals.ended
                assert second.totals.ended
            await until(lambda: len(first.held) == PARTITIONS)
        started = [await world.start(three, 1) for _ in range(20)]
        assert [await world.result(each) for each in started] == [4] * 20


async def test_the_partitions_of_one_that_dies_are_taken_over_within_seconds(
    world: WorkflowWorld,
) -> None:
    three, _ = three_steps(world)
    async with world.working(), world.orchestrating() as first:
        async with world.mortal() as (second, task):
            await until(lambda: len(first.held) == len(second.held) == PARTITIONS // 2)
            started = [await world.start(three, 1) for _ in range(50)]
            task.cancel()
            await asyncio.wait([task])
        async with asyncio.timeout(HANDOVER_SECONDS):
            await until(lambda: len(first.held) == PARTITIONS)
        assert [await world.result(each) for each in started] == [4] * 50


async def test_one_that_was_paused_beyond_its_lease_cannot_write(world: WorkflowWorld) -> None:
    gate = Gate()
    three, ran = three_steps(world)
    store = cast("Any", WatchedStore(cast("Any", world.store)))
    options = replace(OPTIONS, lease=timedelta(seconds=1))
    world.options = options
    async with world.mortal(store=store) as (paused, _):
        # Its write leaves only when another one has its partitions.
        store.before["write"] = gate.pass_through
        store.before["attend"] = gate.opened.wait
        execution = await world.start(three, 1)
        await gate.entered.wait()
        async with world.orchestrating() as other:
            await until(lambda: len(other.held) == PARTITIONS)
            async with world.working():
                assert await world.result(execution) == 4
                gate.opened.set()
                await until(lambda: paused.totals.lost == 1)
    assert ran == {1: 1, 2: 1, 3: 1}


async def test_one_that_was_paused_between_its_write_and_what_follows_sends_nothing(
    world: WorkflowWorld,
) -> None:
    gate = Gate()
    three, ran = three_steps(world)
    store = cast("Any", WatchedStore(cast("Any", world.store)))
    world.options = replace(OPTIONS, lease=timedelta(seconds=1))
    async with world.mortal(store=store) as (paused, _):
        store.after["write"] = gate.pass_through
        store.before["attend"] = gate.opened.wait
        execution = await world.start(three, 1)
        await gate.entered.wait()
        async with world.orchestrating() as other:
            await until(lambda: len(other.held) == PARTITIONS)
            gate.opened.set()
            await until(lambda: paused.totals.lost == 1)
            assert paused.totals.sent == 0
            async with world.working():
                assert await world.result(execution) == 4
    assert ran == {1: 1, 2: 1, 3: 1}


async def test_a_thousand_executions_end_although_redis_is_emptied_among_them(
    world: WorkflowWorld,
) -> None:
    three, _ = three_steps(world)
    async with world.orchestrating() as orchestrator, world.working():
        started = await world.start_many(three, [1] * 1_000)
        await until(lambda: orchestrator.totals.ended >= 100)
        await world.flush()
        ended = await world.all_ended([each.execution_id for each in started], patience_seconds=60)
    assert {each.output for each in ended} == {b"4"}
    assert orchestrator.totals.resent > 0
    assert orchestrator.totals.ended == 1_000


async def test_what_waits_for_a_signal_survives_its_orchestrator(world: WorkflowWorld) -> None:
    @world.workflow()
    async def asks(ctx: Context) -> str:
        return await ctx.signal("word", str)

    async with world.mortal():
        execution = await world.start(asks)
        await world.until(
            execution,
            lambda loaded: any(
                step.kind is StepKind.SIGNAL and step.status is StepStatus.PENDING
                for step in loaded.steps
            ),
        )
    await world.signal(execution.workflow_id, "word", "come back")
    async with world.orchestrating() as second:
        assert await world.result(execution) == "come back"
        assert second.totals.replays == 1
