# ruff: noqa: ANN401 - a fake takes what its original takes
"""How a task that names its arm and its message come to be: both or neither, on real servers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from octoqueue.errors import LaneFull, StoreUnavailable
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.envelope import decode_body
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.postgres_tasks import PostgresTaskStore
from octoqueue.workflows.tasks import NewTask, new_task_id
from tests.outbox_world import OutboxWorld, outbox_world
from tests.running import until
from workers import direct_acceptance, room
from workers.direct import Arm
from workers.direct_acceptance import DirectAcceptance

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.workflows.tasks import TaskId

NARROW = LaneOptions(default_bounds=LaneBounds(high=5, normal=5, low=5))
GONE = StoreUnavailable("Redis", reason="the test says so")


def a_task(lane: Lane = Lane.LOW, arm: Arm = Arm.CODER) -> NewTask:
    return NewTask(task_id=new_task_id(), goal="g", lane=lane, arm=arm)


class Desk:
    """A world with what takes tasks in."""

    def __init__(self, world: OutboxWorld) -> None:
        self.world = world
        self.tasks = PostgresTaskStore(world.pool)
        self.accept = DirectAcceptance(world.pool, self.tasks, world.broker)

    async def accepted(self, lane: Lane = Lane.LOW, *, arm: Arm = Arm.CODER) -> TaskId:
        task = a_task(lane, arm)
        await self.accept(task)
        return task.task_id

    async def sent(self, arm: Arm = Arm.CODER) -> list[str]:
        """The tasks of all messages that wait for an arm."""
        leases = await self.world.claim(arm)
        return [decode_body(lease.payload).kwargs["task_id"] for lease in leases]

    async def tidy(self) -> bool:
        return await self.world.rows() == 0


@pytest.fixture
async def desk(postgres_dsn: str, redis_url: str) -> AsyncGenerator[Desk]:
    async with outbox_world(postgres_dsn, redis_url, NARROW) as world:
        desk = Desk(world)
        yield desk
        await desk.accept.aclose()
        await desk.tasks.aclose()


def during(
    monkeypatch: pytest.MonkeyPatch, store: object, verb: str, happens: Any, *, once: bool = True
) -> None:
    """Let something happen before the next call of a verb, or before every one."""
    original = getattr(store, verb)

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        if once:
            monkeypatch.setattr(store, verb, original)
        await happens()
        return await original(*args, **kwargs)

    monkeypatch.setattr(store, verb, wrapped)


async def fail() -> None:
    raise GONE


async def test_an_accepted_task_has_its_row_and_one_message_and_no_outbox_row_for_long(
    desk: Desk,
) -> None:
    ids = await asyncio.gather(*(desk.accepted(lane) for lane in [*Lane] * 3))
    assert all([await desk.tasks.get(each) for each in ids])
    await until(desk.tidy)
    await desk.world.drained()
    assert sorted(await desk.sent()) == sorted(ids)


async def test_a_full_lane_is_known_before_anything_is_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await desk.accepted()

    async def never(*_args: object, **_kwargs: object) -> None:
        pytest.fail("something was written")

    monkeypatch.setattr(desk.tasks, "accept", never)
    with pytest.raises(LaneFull) as refused:
        await desk.accepted()
    assert (refused.value.lane, refused.value.depth, refused.value.bound) == ("low", 5, 5)


async def test_of_more_tasks_than_there_is_room_for_the_rest_is_refused_and_leaves_nothing(
    desk: Desk,
) -> None:
    endings = await asyncio.gather(*(desk.accepted() for _ in range(12)), return_exceptions=True)
    accepted = [ending for ending in endings if isinstance(ending, str)]
    assert [type(ending) for ending in endings].count(LaneFull) == 7
    await until(desk.tidy)
    await desk.world.drained()
    assert sorted(await desk.sent()) == sorted(accepted)


async def fill(desk: Desk) -> None:
    other = Desk(desk.world)
    await asyncio.gather(*(other.accepted() for _ in range(5)))
    await other.accept.aclose()


async def test_a_lane_that_fills_up_in_the_meantime_takes_task_and_message_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, desk.tasks, "accept", lambda: fill(desk))
    task = a_task()
    with pytest.raises(LaneFull):
        await desk.accept(task)
    assert await desk.tasks.get(task.task_id) is None
    assert len(await desk.sent()) == 5
    await until(desk.tidy)
    await desk.world.drained()
    assert await desk.sent() == []


async def test_a_task_whose_message_a_relay_has_sent_meanwhile_is_accepted_after_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, desk.tasks, "accept", lambda: fill(desk))
    monkeypatch.setattr(direct_acceptance, "HEAD_START", timedelta(0))

    async def relay() -> None:
        assert len(await desk.sent()) == 5
        await desk.world.drained()

    during(monkeypatch, desk.accept._outbox, "delete_in", relay)
    task_id = await desk.accepted()
    assert await desk.tasks.get(task_id) is not None
    assert await desk.sent() == [task_id]


async def test_a_task_that_cannot_be_taken_back_is_accepted_and_runs_when_there_is_room(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, desk.tasks, "accept", lambda: fill(desk))
    during(monkeypatch, desk.accept._outbox, "delete_in", fail)
    monkeypatch.setattr(direct_acceptance, "HEAD_START", timedelta(0))
    task_id = await desk.accepted()
    assert len(await desk.sent()) == 5
    await desk.world.drained()
    assert await desk.sent() == [task_id]


async def test_a_redis_that_is_gone_is_known_before_anything_is_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, desk.world.store, "stats", fail)
    task = a_task()
    with pytest.raises(StoreUnavailable):
        await desk.accept(task)
    assert await desk.tasks.get(task.task_id) is None
    assert await desk.world.rows() == 0


async def test_the_lanes_are_looked_at_again_when_half_full_when_time_has_passed_and_after_trouble(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1

    monkeypatch.setattr(room, "LOOK_SECONDS", 3600)
    during(monkeypatch, desk.world.store, "stats", look, once=False)
    for _ in range(2):
        await desk.accepted()
    assert looks == 1
    await desk.accepted()
    assert looks == 2
    await desk.accepted(Lane.HIGH)
    assert looks == 2
    during(monkeypatch, desk.world.store, "enqueue_once", fail)
    await desk.accepted(Lane.HIGH)
    await desk.accepted(Lane.NORMAL)
    assert looks == 3
    monkeypatch.setattr(room, "LOOK_SECONDS", 0)
    await desk.accepted(Lane.NORMAL)
    assert looks == 4


@pytest.mark.parametrize("lost_answer", [False, True])
async def test_a_redis_that_goes_after_the_commit_loses_no_task_and_doubles_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, lost_answer: bool
) -> None:
    monkeypatch.setattr(direct_acceptance, "HEAD_START", timedelta(0))
    store: Any = desk.world.store
    original = store.enqueue_once

    async def failing(*args: Any) -> Any:
        if lost_answer:
            await original(*args)
        raise GONE

    monkeypatch.setattr(store, "enqueue_once", failing)
    task_id = await desk.accepted()
    monkeypatch.setattr(store, "enqueue_once", original)
    await desk.world.drained()
    assert await desk.sent() == [task_id]
    assert await desk.world.rows() == 0


async def test_a_redis_that_hangs_after_the_commit_keeps_no_caller_waiting(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_acceptance, "_SEND_SECONDS", 0.01)

    async def hang() -> None:
        await asyncio.Event().wait()

    during(monkeypatch, desk.world.store, "enqueue_once", hang)
    task_id = await desk.accepted()
    assert await desk.tasks.get(task_id) is not None
    assert await desk.world.rows() == 1


async def test_a_row_that_could_not_be_deleted_is_no_second_message(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_acceptance, "HEAD_START", timedelta(0))
    during(monkeypatch, desk.accept._outbox, "delete", fail)
    task_id = await desk.accepted()
    await desk.accept.aclose()
    assert await desk.world.rows() == 1
    assert await desk.sent() == [task_id]
    await desk.world.drained()
    assert await desk.sent() == []
    assert await desk.world.rows() == 0


async def test_a_process_that_dies_before_it_sends_leaves_row_and_message_to_a_relay(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(direct_acceptance, "HEAD_START", timedelta(0))
    during(monkeypatch, desk.world.store, "enqueue_once", killed)
    task = a_task()
    with pytest.raises(ZeroDivisionError):
        await desk.accept(task)
    assert await desk.sent() == []
    await desk.world.drained()
    assert await desk.sent() == [task.task_id]


async def test_arms_have_room_of_their_own_and_get_their_own_messages(desk: Desk) -> None:
    ids = {arm: [await desk.accepted(arm=arm) for _ in range(5)] for arm in Arm}
    for arm in Arm:
        with pytest.raises(LaneFull) as refused:
            await desk.accepted(arm=arm)
        assert refused.value.queue == arm
        assert sorted(await desk.sent(arm)) == sorted(ids[arm])


async def test_a_task_that_names_its_arm_takes_no_room_from_those_that_wait_for_a_plan(
    desk: Desk,
) -> None:
    task = await desk.tasks.get(await desk.accepted())
    assert task is not None
    assert (task.asked_arm, task.arm) == (Arm.CODER, None)
    assert sum((await desk.tasks.queued()).values()) == 0
