"""Values over the limit, refused or kept as objects: end to end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import octoqueue
from octoqueue.broker.workflow_objects import with_large_values
from octoqueue.errors import ConfigError, InputTooLarge
from octoqueue.producer.workflow_client import StartWish, WorkflowClient
from octoqueue.settings.root import Settings
from octoqueue.testing.memory_objects import MemoryObjects
from octoqueue.workflows.claimed_values import with_claimed_values
from octoqueue.workflows.context import Context  # noqa: TC001 - read at run time
from octoqueue.workflows.limits import Limits
from octoqueue.workflows.protocol import Filter
from octoqueue.workflows.states import ExecutionStatus, StepKind
from tests.workflow_world import PARTITIONS, memory_world, real_world

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.workflows.protocol import Loaded
    from tests.workflow_world import WorkflowWorld

LIMIT_BYTES = 10 << 10
LARGE = "x" * (2 * LIMIT_BYTES)
SETTINGS = Settings.load(
    environ={},
    overrides={
        "workflows.partitions": PARTITIONS,
        "workflows.max_value_bytes": "10KiB",
        "workflows.over_limit": "claim_check",
        "results.max_bytes": "32KiB",
        "results.max_object_bytes": "64KiB",
    },
)


@pytest.fixture(params=["memory", "servers"])
async def world(request: pytest.FixtureRequest) -> AsyncGenerator[WorkflowWorld]:
    if request.param == "memory":
        opening = memory_world()
    else:
        urls = (request.getfixturevalue(name) for name in ("postgres_dsn", "redis_url"))
        opening = real_world(*urls)
    async with opening as world:
        limits = Limits(max_value_bytes=LIMIT_BYTES, over_limit="claim_check")
        world.options = replace(world.options, limits=limits)
        world.broker.configure(SETTINGS)
        yield world


async def test_inputs_results_and_outputs_over_the_limit_are_objects(world: WorkflowWorld) -> None:
    kept, objects = world.store, MemoryObjects()
    world.store = with_claimed_values(kept, objects, max_bytes=LIMIT_BYTES)

    @octoqueue.actor(broker=world.broker)
    async def enlarge(text: str) -> str:
        return text + LARGE

    @world.workflow()
    async def inner(ctx: Context, text: str) -> str:
        return text + "c" + await ctx.run(lambda: LARGE)

    @world.workflow()
    async def outer(ctx: Context, text: str) -> str:
        return await ctx.call(enlarge, "a") + await ctx.child(inner, text)

    client = WorkflowClient(
        world.store, world.broker, settings=SETTINGS, definitions=world.registry
    )
    expected = "a" + LARGE + LARGE + "c" + LARGE
    async with world.orchestrating(), world.working():
        started = await client.start(outer, LARGE, StartWish(id="large"))
        again = await client.start(outer, LARGE, StartWish(id="large"))
        assert (started.is_new, again.is_new) == (True, False)
        assert outer.input_of(again.execution.input) == LARGE
        assert await world.result(started.execution) == expected
    for row in await kept.executions(Filter()):
        assert row.status is ExecutionStatus.COMPLETED
        assert len(row.input) < LIMIT_BYTES
        assert len(row.output or b"") < LIMIT_BYTES
    assert {key.partition("/")[0] for key in objects.objects} == {"workflows"}


async def test_one_that_is_taken_over_gets_its_large_values_back(world: WorkflowWorld) -> None:
    world.store = with_claimed_values(world.store, MemoryObjects(), max_bytes=LIMIT_BYTES)

    @world.workflow()
    async def waits(ctx: Context, text: str) -> int:
        read = await ctx.run(lambda: LARGE)
        await ctx.signal("go")
        return len(text) + len(read)

    client = WorkflowClient(
        world.store, world.broker, settings=SETTINGS, definitions=world.registry
    )
    execution = (await client.start(waits, LARGE)).execution
    async with world.orchestrating():
        await world.until(execution, _waits_for_signal)
    async with world.orchestrating():
        await world.signal(execution.workflow_id, "go")
        assert await world.result(execution) == 2 * len(LARGE)


async def test_a_lost_object_fails_its_execution_and_no_other(world: WorkflowWorld) -> None:
    objects = MemoryObjects()
    world.store = with_claimed_values(world.store, objects, max_bytes=LIMIT_BYTES)

    @world.workflow()
    async def measures(ctx: Context, text: str) -> int:
        return len(text)

    client = WorkflowClient(
        world.store, world.broker, settings=SETTINGS, definitions=world.registry
    )
    lost = (await client.start(measures, LARGE)).execution
    objects.objects.clear()
    other = (await client.start(measures, LARGE + "y")).execution
    async with world.orchestrating():
        assert await world.result(other) == len(LARGE) + 1
        (one,) = await world.all_ended([lost.execution_id])
    assert one.status is ExecutionStatus.FAILED


def _waits_for_signal(loaded: Loaded) -> bool:
    return any(step.kind is StepKind.SIGNAL for step in loaded.steps)


async def test_what_no_object_may_be_is_refused(world: WorkflowWorld) -> None:
    @world.workflow()
    async def takes(ctx: Context, text: str) -> None: ...

    client = WorkflowClient(world.store, world.broker, settings=SETTINGS)
    with pytest.raises(InputTooLarge):
        client.new_execution(takes, 4 * LARGE, StartWish())
    refusing = SETTINGS.model_copy(update={"workflows": Settings().workflows})
    assert with_large_values(world.store, refusing) is world.store
    elsewhere = SETTINGS.redis.model_copy(update={"url": "redis://elsewhere"})
    with pytest.raises(ConfigError, match="object store"):
        with_large_values(world.store, SETTINGS.model_copy(update={"redis": elsewhere}))
