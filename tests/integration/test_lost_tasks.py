"""Tasks that name their arm and whose message is gone: found and sent again, on real servers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.envelope import decode_body
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.postgres_tasks import PostgresTaskStore
from octoqueue.workflows.tasks import NewTask, TaskStatus, new_task_id
from tests.outbox_world import OutboxWorld, outbox_world
from tests.running import until
from workers.direct import Arm
from workers.direct_acceptance import DirectAcceptance
from workers.lost_tasks import LostTasks, Swept

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

AT_ONCE = timedelta(0)
NOTHING = Swept()


class Desk:
    """A world with what takes tasks in and what looks after them."""

    def __init__(self, world: OutboxWorld, redis_url: str) -> None:
        self.world = world
        self.redis_url = redis_url
        self.tasks = PostgresTaskStore(world.pool)
        self.accept = DirectAcceptance(world.pool, self.tasks, world.broker)
        self.lost = LostTasks(self.tasks, world.broker)

    async def accepted(self, arm: Arm = Arm.CODER) -> NewTask:
        task = NewTask(task_id=new_task_id(), goal="g", lane=Lane.HIGH, arm=arm)
        await self.accept(task)
        await until(self.is_tidy)
        return task

    async def is_tidy(self) -> bool:
        return await self.world.rows() == 0

    async def forget(self) -> None:
        """Let Redis lose what it knows of this world."""
        async with Redis.from_url(self.redis_url) as client:
            pattern = f"*{self.world.store.options.namespace}*"
            keys = [key async for key in client.scan_iter(match=pattern, count=10_000)]
            assert await client.delete(*keys) > 0

    async def sent(self, arm: Arm = Arm.CODER) -> list[str]:
        leases = await self.world.claim(arm)
        return [decode_body(lease.payload).kwargs["task_id"] for lease in leases]

    async def sweep(self) -> Swept:
        return await self.lost.sweep(unseen_for=AT_ONCE)

    async def status(self, task: NewTask) -> tuple[TaskStatus, str | None]:
        row = await self.tasks.get(task.task_id)
        assert row is not None
        return row.status, None if row.error is None else row.error["code"]


@pytest.fixture
async def desk(postgres_dsn: str, redis_url: str) -> AsyncGenerator[Desk]:
    options = LaneOptions(default_bounds=LaneBounds(high=300, normal=300, low=300))
    async with outbox_world(postgres_dsn, redis_url, options) as world:
        desk = Desk(world, redis_url)
        yield desk
        await desk.accept.aclose()
        await desk.tasks.aclose()


async def test_what_waits_or_runs_is_left_alone(desk: Desk) -> None:
    running = await desk.accepted()
    assert await desk.sent() == [running.task_id]
    await desk.tasks.start(running.task_id, arm="coder")
    waiting = await desk.accepted()
    assert await desk.sweep() == NOTHING
    assert await desk.sent() == [waiting.task_id]


async def test_when_redis_has_lost_its_memory_every_unfinished_task_is_sent_again_once(
    desk: Desk,
) -> None:
    tasks = await asyncio.gather(*(desk.accepted(arm) for arm in [*Arm] * 60))
    for task in tasks[:8]:
        await desk.tasks.start(task.task_id, arm=task.arm or "")
    for task in tasks[:4]:
        await desk.tasks.complete(task.task_id, result={}, attempts=1)
    await desk.forget()
    swept = [await desk.sweep() for _ in range(2)]
    assert swept == [Swept(sent_again=236), NOTHING]
    found = [task_id for arm in Arm for task_id in await desk.sent(arm)]
    assert sorted(found) == sorted(task.task_id for task in tasks[4:])


async def test_two_that_look_at_the_same_time_send_no_task_twice(desk: Desk) -> None:
    tasks = [await desk.accepted() for _ in range(5)]
    await desk.forget()
    other = LostTasks(desk.tasks, desk.world.broker)
    await asyncio.gather(desk.sweep(), other.sweep(unseen_for=timedelta(seconds=5)), desk.sweep())
    assert sorted(await desk.sent()) == sorted(task.task_id for task in tasks)


async def test_a_message_that_is_still_in_the_outbox_is_left_to_its_relay(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.world.store, "enqueue_once", killed)
    with pytest.raises(ZeroDivisionError):
        await desk.accepted()
    monkeypatch.undo()
    assert await desk.sweep() == NOTHING
    assert await desk.sent() == []


async def test_a_task_that_ran_for_too_long_before_its_message_was_lost_is_abandoned(
    desk: Desk,
) -> None:
    task = await desk.accepted()
    await desk.tasks.start(task.task_id, arm="coder")
    async with desk.world.pool.transaction(purpose="test") as connection:
        await connection.execute(
            "update tasks set created_at = now() - interval '2 hours',"
            " started_at = now() - interval '2 hours'"
        )
    await desk.forget()
    assert await desk.sweep() == Swept(failed=1)
    assert await desk.status(task) == (TaskStatus.FAILED, "abandoned")


async def test_a_task_that_ends_while_its_message_is_looked_for_is_left_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await desk.accepted()
    await desk.tasks.start(task.task_id, arm="coder")
    await desk.forget()
    find = desk.world.store.find

    async def ended(*args: object, **kwargs: object) -> object:
        where = await find(*args, **kwargs)  # type: ignore[arg-type]
        await desk.tasks.complete(task.task_id, result={}, attempts=1)
        return where

    monkeypatch.setattr(desk.world.store, "find", ended)
    assert await desk.sweep() == NOTHING
