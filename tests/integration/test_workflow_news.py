# ruff: noqa: ANN401 - what stands in for a method takes what that takes
"""What callers of workflows hear when news is lost, servers are away, and many wait."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.sources import FactorySource
from octoqueue.errors import (
    EmbeddedError,
    InputTooLarge,
    InvalidMessage,
    StoreUnavailable,
    WorkflowUnknown,
)
from octoqueue.postgres.pool import PostgresPool
from octoqueue.primitives.clock import SystemClock
from octoqueue.producer import workflow_following
from octoqueue.producer.workflow_client import WorkflowClient
from octoqueue.settings.root import Settings
from tests.running import SHORTLY, WatchedStore, gone, until
from tests.workflow_world import PARTITIONS, memory_world, real_world

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.lanes.protocol import LaneStore
    from tests.workflow_world import WorkflowWorld

HOUR = timedelta(hours=1)
SETTINGS = Settings.load(environ={}, overrides={"workflows.partitions": PARTITIONS})


@pytest.fixture
async def world() -> AsyncGenerator[WorkflowWorld]:
    async with memory_world() as opened:
        with client_of(opened).in_use():
            yield opened


def client_of(world: WorkflowWorld) -> WorkflowClient:
    return WorkflowClient(world.store, world.broker, settings=SETTINGS, definitions=world.registry)


async def told_by(handle: octoqueue.WorkflowHandle[Any], told: list[Any], since: int = 0) -> None:
    async with asyncio.timeout(SHORTLY.total_seconds()):
        async for event in handle.events(since=since):
            told += [event.value]


def counting(world: WorkflowWorld) -> octoqueue.Workflow[int, None]:
    @octoqueue.workflow(registry=world.registry)
    async def count(ctx: octoqueue.WorkflowContext, last: int) -> None:
        for number in range(last):
            ctx.emit(number)
            await ctx.signal("go")

    return count


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_an_event_whose_announcement_was_lost_is_told_all_the_same(
    world: WorkflowWorld, lost: int
) -> None:
    lanes = WatchedStore(world.lanes)
    told: list[Any] = []
    async with world.orchestrating(lanes=lanes.lanes):
        handle = await counting(world).start(3)
        follower = asyncio.create_task(told_by(handle, told))
        for number in range(3):
            await until(lambda: number == lost or number in told)  # noqa: B023 - at once
            if number + 1 == lost:
                lanes.fail("announce", gone())
            await handle.signal("go")
        await follower
    assert sorted(told, key=str) == [0, 1, 2, "completed"]
    assert told[-1] == "completed"


async def test_events_go_on_after_the_number_of_the_last_that_is_known(
    world: WorkflowWorld,
) -> None:
    async with world.orchestrating():
        handle = await counting(world).start(3)
        for _ in range(3):
            await handle.signal("go")
        await handle.result(timeout=SHORTLY)
        events = [event async for event in handle.events()]
        for place, known in enumerate(events, start=1):
            told: list[Any] = []
            await told_by(handle, told, since=known.number)
            assert told == [event.value for event in events[place:]]


async def test_events_end_however_an_execution_ends(world: WorkflowWorld) -> None:
    @octoqueue.workflow(registry=world.registry)
    async def ending(ctx: octoqueue.WorkflowContext, how: str) -> str:
        await ctx.signal("go")
        if how == "failed":
            raise ValueError(how)
        if how == "continued":
            ctx.continue_as_new("completed")
        return how

    ends = ["completed", "failed", "continued", "cancelled", "late"]
    async with world.orchestrating():
        for how in ends:
            late = timedelta(milliseconds=200) if how == "late" else HOUR
            handle = await ending.start(how, deadline=late)
            told: list[Any] = []
            follower = asyncio.create_task(told_by(handle, told))
            if how == "cancelled":
                await handle.cancel()
            elif how != "late":
                await handle.signal("go")
            await follower
            assert told == ["failed" if how == "late" else how]


async def test_who_waits_outlasts_both_servers(
    world: WorkflowWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow_following, "LOOK_EVERY", timedelta(milliseconds=50))
    async with world.orchestrating():
        handle = await counting(world).start(1)
        told: list[Any] = []
        follower = asyncio.create_task(told_by(handle, told))
        waiter = asyncio.create_task(handle.result(timeout=SHORTLY))
        await until(lambda: told)
        failed: list[str] = []

        def away(name: str) -> Any:
            async def fail(*_: object, **__: object) -> Any:
                failed.append(name)
                raise gone()

            return fail

        with monkeypatch.context() as outage:
            for name in ("newest", "history"):
                outage.setattr(world.store, name, away(name))
            outage.setattr(world.lanes, "wait_for_result", away("wait_for_result"))
            await until(lambda: {"newest", "history"} <= set(failed))
            with pytest.raises(StoreUnavailable):
                await octoqueue.WorkflowHandle(handle.workflow_id).result(timeout=timedelta(0))
        await handle.signal("go")
        await waiter
        await follower
        assert told == [0, "completed"]


async def test_a_thousand_who_wait_are_read_together(
    postgres_dsn: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow_following, "LOOK_EVERY", timedelta(milliseconds=200))
    statements: list[str] = []
    fetch = PostgresPool.fetch

    async def counted(pool: PostgresPool, statement: Any, *arguments: Any) -> Any:
        statements.append(statement.name)
        return await fetch(pool, statement, *arguments)

    async with real_world(postgres_dsn, redis_url) as world:
        count = counting(world)
        with client_of(world).in_use():
            await count.start(1, id="one")
            monkeypatch.setattr(PostgresPool, "fetch", counted)
            clock = SystemClock()

            async def waiting(number: int) -> None:
                await clock.sleep(number / 1_000)  # they do not come all at once
                await count.handle_of("one").result(timeout=timedelta(seconds=4))

            async with asyncio.timeout(SHORTLY.total_seconds() * 3):
                answers = await asyncio.gather(
                    *(waiting(number) for number in range(1_000)), return_exceptions=True
                )
    assert all(isinstance(each, octoqueue.errors.ResultTimeout) for each in answers)
    # Each reads once when it comes and once when it gives up; between they read together.
    assert len(statements) < 2_100, len(statements)


async def test_clients_that_overlap_on_a_loop_are_left_in_any_order(world: WorkflowWorld) -> None:
    one, other = (WorkflowClient(world.store, world.broker) for _ in range(2))
    first, second = one.in_use(), other.in_use()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert await WorkflowClient.here() is other
    second.__exit__(None, None, None)
    assert await WorkflowClient.here() not in (one, other)


async def test_who_follows_what_is_pruned_is_told_that_it_is_unknown(
    world: WorkflowWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow_following, "LOOK_EVERY", timedelta(milliseconds=50))
    handle = await counting(world).start(1)
    follower = asyncio.create_task(told_by(handle, []))
    waiter = asyncio.create_task(handle.result(timeout=SHORTLY))
    await asyncio.sleep(0)
    execution = await handle.execution()
    assert await world.store.withdraw(execution.execution_id)
    for each in (follower, waiter):
        with pytest.raises(WorkflowUnknown):
            await each


async def test_what_no_store_can_keep_is_refused_by_name(world: WorkflowWorld) -> None:
    @octoqueue.workflow(registry=world.registry)
    async def plain(ctx: octoqueue.WorkflowContext) -> None: ...

    odd: list[tuple[str, dict[str, Any]]] = [
        ("tenant", {"tenant": "a\0b"}),
        ("tenant", {"tenant": "\ud800"}),
        ("tenant", {"tenant": 5}),
        ("workflow_id", {"id": 17}),
        ("deadline", {"deadline": 5}),
        ("deadline", {"deadline": timedelta.max}),
    ]
    for field, options in odd:
        with pytest.raises(InvalidMessage, match=f"^{field}: "):
            await plain.start(**options)
    handle = await plain.start()
    for field, sent in (
        ("signal_id", {"name": "go", "signal_id": "first"}),
        ("signal_id", {"name": "go", "signal_id": ""}),
        ("signal_id", {"name": "go", "signal_id": "01A20191-D67F-73E8-BB03-63A51897A5B3"}),
        ("name", {"name": "a\0b"}),
        ("name", {"name": ""}),
    ):
        with pytest.raises(InvalidMessage, match=f"^{field}: "):
            await handle.signal(**sent)
    with pytest.raises(InputTooLarge, match=handle.workflow_id):
        await handle.cancel("x" * 2**21)


async def test_nothing_is_written_when_the_lanes_cannot_be_opened(world: WorkflowWorld) -> None:
    def refuse() -> LaneStore:
        raise EmbeddedError("no server on this machine")

    broker = LaneBroker(source=FactorySource(refuse))
    count = counting(world)
    handle = await count.start(1)
    with WorkflowClient(
        world.store, broker, settings=SETTINGS, definitions=world.registry
    ).in_use():
        with pytest.raises(EmbeddedError):
            await count.start(1, id="refused")
        with pytest.raises(EmbeddedError):
            await handle.signal("go")
    with pytest.raises(WorkflowUnknown):
        await octoqueue.WorkflowHandle("refused").status()
    assert not (await handle.history()).signals


async def test_a_result_is_that_of_the_retry_although_the_failure_was_announced(
    world: WorkflowWorld,
) -> None:
    @octoqueue.workflow(registry=world.registry)
    async def fickle(ctx: octoqueue.WorkflowContext) -> str:
        if await ctx.signal("go", str) == "fail":
            raise ValueError
        return "done"

    async with world.orchestrating():
        handle = await fickle.start()
        await handle.signal("go", "fail")
        failed = await world.until(
            await handle.execution(), lambda loaded: loaded.execution.is_final
        )
        await world.store.retry_from(failed.execution.execution_id, failed.steps[0].key)
        waiter = asyncio.create_task(handle.result(timeout=SHORTLY))
        await handle.signal("go", "end")
        assert await waiter == "done"


async def test_what_is_announced_leaves_redis_within_a_minute(
    postgres_dsn: str, redis_url: str
) -> None:
    async with real_world(postgres_dsn, redis_url) as world:
        with client_of(world).in_use():
            async with world.orchestrating():
                handle = await counting(world).start(1)
                await handle.signal("go")
                await handle.result(timeout=SHORTLY)
            ident = (await handle.execution()).execution_id.encode()
            async with redis.asyncio.from_url(redis_url) as client:
                there = [key async for key in client.scan_iter() if ident in key]
                left_ms = [await client.pttl(key) for key in there]
    assert len(there) == 2  # its events and its result
    assert all(0 < left <= 60_000 for left in left_ms), dict(zip(there, left_ms, strict=True))
