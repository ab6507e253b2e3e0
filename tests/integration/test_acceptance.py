# ruff: noqa: ANN401 - a fake takes what its original takes
"""How a task and its workflow come to be: both or neither, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from octoqueue.errors import LaneFull, StoreUnavailable
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.lane import Lane
from octoqueue.routing.partitions import PartitionMap
from octoqueue.workflows.executions import WorkflowId
from octoqueue.workflows.letters import Nudge, letter_from, queue_of
from octoqueue.workflows.postgres_tasks import PostgresTaskStore
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from octoqueue.workflows.protocol import Filter
from octoqueue.workflows.states import Complexity, ExecutionStatus
from octoqueue.workflows.tasks import NewTask, new_task_id
from tests.outbox_world import OutboxWorld, outbox_world
from workers import acceptance, room
from workers.acceptance import Acceptance
from workers.intake import QUEUE, WORKFLOW

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.tasks import TaskId

PARTITIONS = PartitionMap(10)
BOUND = 5
NARROW = LaneOptions(bounds={QUEUE: LaneBounds(high=BOUND, normal=BOUND, low=BOUND)})
FULL = LaneOptions(default_bounds=LaneBounds(high=1, normal=1, low=1), bounds={QUEUE: LaneBounds()})
GONE = StoreUnavailable("Redis", reason="the test says so")


class Desk:
    """A world with what takes tasks in."""

    def __init__(self, world: OutboxWorld) -> None:
        self.world = world
        self.tasks = PostgresTaskStore(world.pool)
        self.workflows = PostgresWorkflowStore(world.pool)
        self.accept = Acceptance(
            world.pool, self.tasks, self.workflows, world.broker, partitions=PARTITIONS
        )

    async def accepted(
        self, lane: Lane = Lane.LOW, *, complexity: Complexity | None = None
    ) -> TaskId:
        task = NewTask(task_id=new_task_id(), goal="g", lane=lane)
        await self.accept(task, complexity=complexity)
        return task.task_id

    async def execution(self, task_id: TaskId) -> Execution | None:
        return await self.workflows.newest(WorkflowId(task_id))

    async def executions(self) -> list[str]:
        """The tasks of all executions."""
        return [each.workflow_id for each in await self.workflows.executions(Filter())]

    async def nudged(self) -> list[str]:
        """The executions that orchestrators were told of."""
        told: list[str] = []
        for partition in range(PARTITIONS.partitions):
            letters = [letter_from(each.payload) for each in await self.claim(partition)]
            told += [each.execution_id for each in letters if isinstance(each, Nudge)]
        return told

    async def claim(self, partition: int) -> Any:
        return await self.world.claim(queue_of(partition))

    async def aclose(self) -> None:
        await self.accept.aclose()
        await self.workflows.aclose()
        await self.tasks.aclose()


@pytest.fixture
def options() -> LaneOptions:
    return NARROW


@pytest.fixture
async def desk(postgres_dsn: str, redis_url: str, options: LaneOptions) -> AsyncGenerator[Desk]:
    async with outbox_world(postgres_dsn, redis_url, options) as world:
        desk = Desk(world)
        yield desk
        await desk.aclose()


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


async def test_an_accepted_task_has_its_row_its_execution_and_one_nudge(desk: Desk) -> None:
    ids = await asyncio.gather(*(desk.accepted(lane) for lane in [*Lane] * 3))
    for task_id in ids:
        task, execution = await desk.tasks.get(task_id), await desk.execution(task_id)
        assert task is not None
        assert execution is not None
        assert (execution.name, execution.status) == (WORKFLOW, ExecutionStatus.QUEUED)
        assert (execution.lane, execution.complexity) == (task.lane, Complexity.MEDIUM)
        assert orjson.loads(execution.input) == {"goal": "g", "complexity": None}
    executions = [await desk.execution(task_id) for task_id in ids]
    assert sorted(await desk.nudged()) == sorted(each.execution_id for each in executions if each)


async def test_the_complexity_a_caller_has_chosen_is_that_of_the_execution(desk: Desk) -> None:
    execution = await desk.execution(await desk.accepted(complexity=Complexity.HIGH))
    assert execution is not None
    assert execution.complexity is Complexity.HIGH
    assert orjson.loads(execution.input)["complexity"] == "high"


async def test_a_full_lane_is_known_before_anything_is_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(BOUND):
        await desk.accepted()

    async def never(*_args: object, **_kwargs: object) -> None:
        pytest.fail("something was written")

    monkeypatch.setattr(desk.tasks, "add_in", never)
    with pytest.raises(LaneFull) as refused:
        await desk.accepted()
    assert (refused.value.lane, refused.value.depth, refused.value.bound) == ("low", BOUND, BOUND)


async def test_a_task_that_has_begun_makes_room_for_another(desk: Desk) -> None:
    ids = [await desk.accepted() for _ in range(BOUND)]
    await desk.tasks.start(ids[0], arm="coder")
    await desk.accepted()
    with pytest.raises(LaneFull):
        await desk.accepted()


async def test_of_more_tasks_than_there_is_room_for_the_rest_is_refused_and_leaves_nothing(
    desk: Desk,
) -> None:
    endings = await asyncio.gather(*(desk.accepted() for _ in range(12)), return_exceptions=True)
    accepted = [ending for ending in endings if isinstance(ending, str)]
    assert [type(ending) for ending in endings].count(LaneFull) == 12 - BOUND
    assert sorted(await desk.executions()) == sorted(accepted)
    assert sum((await desk.tasks.queued()).values()) == BOUND


@pytest.mark.parametrize("options", [FULL])
async def test_a_full_orchestrator_takes_task_and_execution_back(desk: Desk) -> None:
    endings = await asyncio.gather(*(desk.accepted() for _ in range(40)), return_exceptions=True)
    accepted = [ending for ending in endings if isinstance(ending, str)]
    assert accepted
    assert [type(ending) for ending in endings].count(LaneFull) == 40 - len(accepted)
    assert sorted(await desk.executions()) == sorted(accepted)
    assert sum((await desk.tasks.queued()).values()) == len(accepted)
    assert len(await desk.nudged()) == len(accepted)


@pytest.mark.parametrize("options", [FULL])
async def test_a_task_that_cannot_be_taken_back_is_accepted_after_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, desk.workflows, "withdraw_in", fail, once=False)
    ids = await asyncio.gather(*(desk.accepted() for _ in range(40)))
    assert sorted(await desk.executions()) == sorted(ids)


@pytest.mark.parametrize("options", [FULL])
async def test_a_task_whose_execution_was_begun_meanwhile_is_accepted_after_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def begun(_connection: object, ids: list[str]) -> list[bool]:
        return [False] * len(ids)

    monkeypatch.setattr(desk.workflows, "withdraw_in", begun)
    ids = await asyncio.gather(*(desk.accepted() for _ in range(40)))
    assert sum((await desk.tasks.queued()).values()) == len(ids)


async def test_a_process_that_dies_between_row_and_execution_leaves_neither(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed() -> None:
        raise ZeroDivisionError

    during(monkeypatch, desk.workflows, "start_in", killed)
    task = NewTask(task_id=new_task_id(), goal="g", lane=Lane.LOW)
    with pytest.raises(ZeroDivisionError):
        await desk.accept(task)
    assert await desk.tasks.get(task.task_id) is None
    assert await desk.executions() == []


async def test_a_redis_that_is_gone_is_known_before_anything_is_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, desk.world.store, "now_ms", fail)
    task = NewTask(task_id=new_task_id(), goal="g", lane=Lane.LOW)
    with pytest.raises(StoreUnavailable):
        await desk.accept(task)
    assert await desk.tasks.get(task.task_id) is None
    assert await desk.executions() == []


async def test_the_lanes_are_looked_at_again_when_half_full_when_time_has_passed_and_after_trouble(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1

    monkeypatch.setattr(room, "LOOK_SECONDS", 3600)
    during(monkeypatch, desk.tasks, "queued", look, once=False)
    for _ in range(2):
        await desk.accepted()
    assert looks == 1
    await desk.accepted()
    assert looks == 2
    await desk.accepted(Lane.HIGH)
    assert looks == 2
    during(monkeypatch, desk.world.store, "enqueue", fail)
    await desk.accepted(Lane.HIGH)
    await desk.accepted(Lane.NORMAL)
    assert looks == 3
    monkeypatch.setattr(room, "LOOK_SECONDS", 0)
    await desk.accepted(Lane.NORMAL)
    assert looks == 4


async def test_a_redis_that_goes_after_the_commit_loses_no_task(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, desk.world.store, "enqueue", fail)
    task_id = await desk.accepted()
    assert await desk.execution(task_id) is not None


async def test_a_redis_that_hangs_after_the_commit_keeps_no_caller_waiting(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "_NUDGE_SECONDS", 0.01)

    async def hang() -> None:
        await asyncio.Event().wait()

    during(monkeypatch, desk.world.store, "enqueue", hang)
    task_id = await desk.accepted()
    assert await desk.execution(task_id) is not None
