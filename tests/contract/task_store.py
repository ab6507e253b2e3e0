"""The contract of `TaskStore`: every implementation runs this class.

A test module subclasses it and gives one fixture: `store`, empty.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.primitives.lane import Lane
from octoqueue.workflows.tasks import (
    NewTask,
    Task,
    TaskError,
    TaskId,
    TaskStatus,
    Verdict,
    new_task_id,
    verdict_on,
)

if TYPE_CHECKING:
    from octoqueue.workflows.task_protocol import TaskStore

ERROR = TaskError(code="arm_failed", message="It broke.")
FINAL = (TaskStatus.COMPLETED, TaskStatus.FAILED)


async def added(store: TaskStore, goal: str = "a goal", lane: Lane = Lane.LOW) -> TaskId:
    task = NewTask(task_id=new_task_id(), goal=goal, lane=lane)
    await store.add(task)
    return task.task_id


async def move(store: TaskStore, task_id: TaskId, wanted: TaskStatus) -> Verdict:
    match wanted:
        case TaskStatus.RUNNING:
            return await store.start(task_id, arm="executor")
        case TaskStatus.COMPLETED:
            return await store.complete(task_id, result={"n": 1}, attempts=2)
        case _:
            return await store.fail(task_id, error=ERROR, attempts=3)


async def in_status(store: TaskStore, status: TaskStatus) -> TaskId:
    task_id = await added(store)
    if status in {TaskStatus.RUNNING, TaskStatus.COMPLETED}:
        await move(store, task_id, TaskStatus.RUNNING)
    if status in FINAL:
        await move(store, task_id, status)
    return task_id


async def read(store: TaskStore, task_id: TaskId) -> Task:
    task = await store.get(task_id)
    assert task is not None
    return task


class TaskStoreContract:
    """What every store of tasks does."""

    async def test_only_what_waits_to_be_started_is_counted(self, store: TaskStore) -> None:
        before = await store.queued()
        for lane in (Lane.HIGH, Lane.LOW, Lane.LOW):
            await added(store, lane=lane)
        for status in (TaskStatus.RUNNING, *FINAL):
            await in_status(store, status)
        after = await store.queued()
        assert {lane: after[lane] - before[lane] for lane in Lane} == {
            Lane.HIGH: 1,
            Lane.NORMAL: 0,
            Lane.LOW: 2,
        }

    async def test_a_task_lives_from_queued_to_completed_with_its_times(
        self, store: TaskStore
    ) -> None:
        task_id = await added(store, "Say ☃ and 𝄞", Lane.HIGH)
        queued = await read(store, task_id)
        assert (queued.goal, queued.lane, queued.status) == ("Say ☃ and 𝄞", Lane.HIGH, "queued")
        assert (queued.arm, queued.started_at, queued.finished_at) == (None, None, None)

        assert await store.start(task_id, arm="coder") is Verdict.MOVED
        running = await read(store, task_id)
        assert (running.status, running.arm, running.finished_at) == ("running", "coder", None)

        result = {"text": "done", "nested": [{"n": 1.5}, None, True]}
        assert await store.complete(task_id, result=result, attempts=1) is Verdict.MOVED
        done = await read(store, task_id)
        assert (done.status, done.result, done.error, done.attempts) == (
            "completed",
            result,
            None,
            1,
        )
        assert done.started_at is not None
        assert done.finished_at is not None
        assert done.created_at <= done.started_at <= done.finished_at
        assert done.created_at.tzinfo is not None

    async def test_the_store_allows_exactly_the_moves_of_the_table(self, store: TaskStore) -> None:
        for current in TaskStatus:
            for wanted in (TaskStatus.RUNNING, *FINAL):
                task_id = await in_status(store, current)
                before = await read(store, task_id)
                verdict = await move(store, task_id, wanted)
                after = await read(store, task_id)
                assert verdict is verdict_on(current, wanted), (current, wanted)
                if verdict is Verdict.MOVED:
                    assert after.status is wanted
                else:
                    assert after == before, (current, wanted)

    async def test_moves_of_a_task_nobody_added_say_so(self, store: TaskStore) -> None:
        for wanted in (TaskStatus.RUNNING, *FINAL):
            assert await move(store, new_task_id(), wanted) is Verdict.UNKNOWN
        assert await store.get(new_task_id()) is None

    async def test_adding_twice_is_adding_once_even_after_it_was_started(
        self, store: TaskStore
    ) -> None:
        task = NewTask(task_id=new_task_id(), goal="once", lane=Lane.NORMAL)
        await asyncio.gather(store.add(task), store.add(task))
        await store.start(task.task_id, arm="judge")
        await store.add(task)
        assert (await read(store, task.task_id)).status is TaskStatus.RUNNING

    async def test_withdrawing_forgets_a_queued_task_and_no_other(self, store: TaskStore) -> None:
        for status in TaskStatus:
            task_id = await in_status(store, status)
            await store.withdraw(task_id)
            assert (await store.get(task_id) is None) == (status is TaskStatus.QUEUED)

    async def test_goals_and_results_come_back_as_they_were_except_for_nul(
        self, store: TaskStore
    ) -> None:
        goal = '"; drop table tasks; -- \\u0041 \t\r\n' + "é" * 1000
        task_id = await added(store, goal)
        await store.start(task_id, arm="x")
        await store.complete(task_id, result={"a\0b": ["\0", {"\0": "\\u0000"}]}, attempts=1)
        task = await read(store, task_id)
        assert task.goal == goal
        assert task.result == {"a\ufffdb": ["\ufffd", {"\ufffd": "\\u0000"}]}

    async def test_unfinished_tasks_that_name_their_arm_are_looked_after_and_no_others(
        self, store: TaskStore
    ) -> None:
        always, waiting = timedelta(seconds=-1), await store.queued()
        planned = await added(store)
        named = NewTask(task_id=new_task_id(), goal="g", lane=Lane.HIGH, arm="coder")
        await store.add(named)
        assert (await read(store, named.task_id)).asked_arm == "coder"
        assert await store.look_after(unseen_for=timedelta(hours=1), limit=10) == []
        assert list(await store.look_after(unseen_for=always, limit=10)) == [named]
        await store.start(named.task_id, arm="coder")
        assert list(await store.look_after(unseen_for=always, limit=10)) == [named]
        await store.complete(named.task_id, result={}, attempts=1)
        assert await store.look_after(unseen_for=always, limit=10) == []
        assert (await read(store, planned)).asked_arm is None
        after = await store.queued()
        assert {lane: after[lane] - waiting[lane] for lane in Lane} == {
            Lane.HIGH: 0,
            Lane.NORMAL: 0,
            Lane.LOW: 1,
        }
