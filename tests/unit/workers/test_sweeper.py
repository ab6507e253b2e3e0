from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import StoreUnavailable
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import QueueStats
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_tasks import MemoryTaskStore
from octoqueue.workflows.tasks import NewTask, TaskStatus, new_task_id
from workers.sweeper import ARM_MARGIN, INTAKE_MARGIN, Sweeper, Swept, abandoned_after, lost_after

if TYPE_CHECKING:
    from octoqueue.workflows.tasks import TaskId

QUIET = QueueStats(
    queue="planner",
    depth=dict.fromkeys(Lane, 0),
    delayed=0,
    dead=0,
    in_flight=0,
    oldest_age_seconds=0.0,
    counters={},
)
MINUTE_MS = 60_000


class Scene:
    """A task store, a clock, the queues as they are said to be, and what was sent."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.tasks = MemoryTaskStore(clock=self.clock)
        self.stats = {"planner": QUIET, "coder": replace(QUIET, queue="coder")}
        self.sent: list[TaskId] = []
        self.sweeper = Sweeper(
            self.tasks,
            self.put_back,
            self.read,
            intake_queue="planner",
            arm_queues=("coder",),
        )

    async def put_back(self, *, unsent_for: timedelta, limit: int) -> int:
        lost = await self.tasks.put_back(unsent_for=unsent_for, limit=limit)
        self.sent += [task.task_id for task in lost]
        return len(lost)

    async def read(self, queue: str) -> QueueStats:
        return self.stats[queue]

    async def added(self) -> TaskId:
        task = NewTask(task_id=new_task_id(), goal="g", lane=Lane.LOW)
        await self.tasks.add(task)
        return task.task_id

    def pass_time(self, by: timedelta) -> None:
        self.clock.advance(by // timedelta(milliseconds=1))


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_task_without_a_message_is_sent_again_once(scene: Scene) -> None:
    task_id = await scene.added()
    assert await scene.sweeper.sweep() == Swept(sent_again=0, failed=0)
    scene.pass_time(INTAKE_MARGIN + timedelta(seconds=1))
    assert await scene.sweeper.sweep() == Swept(sent_again=1, failed=0)
    assert scene.sent == [task_id]
    assert await scene.sweeper.sweep() == Swept(sent_again=0, failed=0)


async def test_a_task_as_old_as_a_waiting_message_is_left_alone(scene: Scene) -> None:
    await scene.added()
    scene.pass_time(timedelta(hours=2))
    scene.stats["planner"] = replace(QUIET, oldest_age_seconds=7200.0)
    assert await scene.sweeper.sweep() == Swept(sent_again=0, failed=0)


async def test_while_a_message_is_delayed_nobody_can_tell(scene: Scene) -> None:
    await scene.added()
    scene.pass_time(timedelta(hours=2))
    scene.stats["planner"] = replace(QUIET, delayed=1)
    assert await scene.sweeper.sweep() == Swept(sent_again=0, failed=0)


async def test_a_running_task_is_failed_only_when_no_message_of_any_arm_is_as_old(
    scene: Scene,
) -> None:
    task_id = await scene.added()
    await scene.tasks.start(task_id, arm="coder")
    scene.pass_time(ARM_MARGIN + timedelta(minutes=30))
    scene.stats["coder"] = replace(QUIET, queue="coder", oldest_age_seconds=3600.0)
    assert (await scene.sweeper.sweep()).failed == 0
    scene.stats["coder"] = replace(QUIET, queue="coder")
    assert (await scene.sweeper.sweep()).failed == 1
    task = await scene.tasks.get(task_id)
    assert task is not None
    assert (task.status, (task.error or {})["code"]) == (TaskStatus.FAILED, "abandoned")


async def test_a_running_task_is_left_alone_while_an_arm_tries_again_after_an_outage(
    scene: Scene,
) -> None:
    task_id = await scene.added()
    await scene.tasks.start(task_id, arm="coder")
    scene.pass_time(ARM_MARGIN * 3)
    scene.stats["coder"] = replace(QUIET, queue="coder", delayed=1)
    assert (await scene.sweeper.sweep()).failed == 0


async def test_counters_that_cannot_be_read_stop_the_sweep(scene: Scene) -> None:
    async def gone(_queue: str) -> QueueStats:
        raise StoreUnavailable("Redis", reason="gone")

    task_id = await scene.added()
    scene.pass_time(timedelta(days=1))
    sweeper = Sweeper(scene.tasks, scene.put_back, gone, intake_queue="p", arm_queues=())
    with pytest.raises(StoreUnavailable):
        await sweeper.sweep()
    task = await scene.tasks.get(task_id)
    assert task is not None
    assert task.status is TaskStatus.QUEUED


def test_the_thresholds_are_the_oldest_message_and_a_margin() -> None:
    waiting = replace(QUIET, oldest_age_seconds=30.0)
    assert lost_after(waiting) == timedelta(seconds=30) + INTAKE_MARGIN
    assert lost_after(replace(QUIET, delayed=3)) is None
    assert abandoned_after([QUIET, waiting]) == timedelta(seconds=30) + ARM_MARGIN
    assert abandoned_after([]) == ARM_MARGIN
    assert abandoned_after([QUIET, replace(QUIET, delayed=1)]) is None
