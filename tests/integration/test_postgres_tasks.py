from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import StoreRefused
from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.primitives.lane import Lane
from octoqueue.workflow.postgres_tasks import PostgresTaskStore
from octoqueue.workflow.tasks import (
    GOAL_LIMIT_BYTES,
    NewTask,
    Task,
    TaskError,
    TaskId,
    TaskStatus,
    Verdict,
    new_task_id,
    verdict_on,
)
from tests.databases import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.postgres.pool import Record
    from octoqueue.postgres.statements import Statement

ERROR = TaskError(code="arm_failed", message="It broke.")
FINAL = (TaskStatus.COMPLETED, TaskStatus.FAILED)


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncGenerator[PostgresPool]:
    async with fresh_database(postgres_dsn) as dsn, PostgresPool(dsn) as pool:
        await Migrator(pool).migrate()
        yield pool


@pytest.fixture
async def store(pool: PostgresPool) -> AsyncGenerator[PostgresTaskStore]:
    store = PostgresTaskStore(pool)
    yield store
    await store.aclose()


async def added(store: PostgresTaskStore, goal: str = "a goal", lane: Lane = Lane.LOW) -> TaskId:
    task = NewTask(task_id=new_task_id(), goal=goal, lane=lane)
    await store.add(task)
    return task.task_id


async def move(store: PostgresTaskStore, task_id: TaskId, wanted: TaskStatus) -> Verdict:
    match wanted:
        case TaskStatus.RUNNING:
            return await store.start(task_id, arm="executor")
        case TaskStatus.COMPLETED:
            return await store.complete(task_id, result={"n": 1}, attempts=2)
        case _:
            return await store.fail(task_id, error=ERROR, attempts=3)


async def in_status(store: PostgresTaskStore, status: TaskStatus) -> TaskId:
    task_id = await added(store)
    if status in {TaskStatus.RUNNING, TaskStatus.COMPLETED}:
        await move(store, task_id, TaskStatus.RUNNING)
    if status in FINAL:
        await move(store, task_id, status)
    return task_id


async def read(store: PostgresTaskStore, task_id: TaskId) -> Task:
    task = await store.get(task_id)
    assert task is not None
    return task


async def test_a_task_lives_from_queued_to_completed_with_its_times(
    store: PostgresTaskStore,
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
    assert (done.status, done.result, done.error, done.attempts) == ("completed", result, None, 1)
    assert done.started_at is not None
    assert done.finished_at is not None
    assert done.created_at <= done.started_at <= done.finished_at
    assert done.created_at.tzinfo is not None


async def test_the_statements_allow_exactly_the_moves_of_the_table(
    store: PostgresTaskStore,
) -> None:
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


async def test_moves_of_a_task_nobody_added_say_so(store: PostgresTaskStore) -> None:
    for wanted in (TaskStatus.RUNNING, *FINAL):
        assert await move(store, new_task_id(), wanted) is Verdict.UNKNOWN
    assert await store.get(new_task_id()) is None


async def test_the_first_of_many_concurrent_outcomes_stands(
    store: PostgresTaskStore, pool: PostgresPool
) -> None:
    other = PostgresTaskStore(pool)
    for _ in range(20):
        task_id = await in_status(store, TaskStatus.RUNNING)
        verdicts = await asyncio.gather(
            *(move(each, task_id, status) for each in (store, other) for status in FINAL * 3)
        )
        assert verdicts.count(Verdict.MOVED) == 1
        status = (await read(store, task_id)).status
        refused = [v for v, s in zip(verdicts, FINAL * 6, strict=True) if s is not status]
        assert set(refused) == {Verdict.REFUSED}
    await other.aclose()


async def test_two_stores_moving_the_same_tasks_in_opposite_order_never_deadlock(
    store: PostgresTaskStore, pool: PostgresPool
) -> None:
    other = PostgresTaskStore(pool)
    tasks = [await added(store) for _ in range(40)]
    for wanted in (TaskStatus.RUNNING, TaskStatus.FAILED):
        verdicts = await asyncio.gather(
            *(move(store, task_id, wanted) for task_id in tasks),
            *(move(other, task_id, wanted) for task_id in reversed(tasks)),
        )
        assert verdicts.count(Verdict.MOVED) == len(tasks)
        assert verdicts.count(Verdict.ALREADY) == len(tasks)
    await other.aclose()


async def test_adding_twice_is_adding_once_even_after_it_was_started(
    store: PostgresTaskStore,
) -> None:
    task = NewTask(task_id=new_task_id(), goal="once", lane=Lane.NORMAL)
    await asyncio.gather(store.add(task), store.add(task))
    await store.start(task.task_id, arm="judge")
    await store.add(task)
    assert (await read(store, task.task_id)).status is TaskStatus.RUNNING


async def test_withdrawing_forgets_a_queued_task_and_no_other(store: PostgresTaskStore) -> None:
    for status in TaskStatus:
        task_id = await in_status(store, status)
        await store.withdraw(task_id)
        assert (await store.get(task_id) is None) == (status is TaskStatus.QUEUED)


async def test_goals_and_results_come_back_as_they_were_except_for_nul(
    store: PostgresTaskStore,
) -> None:
    goal = '"; drop table tasks; -- \\u0041 \t\r\n' + "é" * 1000
    task_id = await added(store, goal)
    await store.start(task_id, arm="x")
    await store.complete(task_id, result={"a\0b": ["\0", {"\0": "\\u0000"}]}, attempts=1)
    task = await read(store, task_id)
    assert task.goal == goal
    assert task.result == {"a\ufffdb": ["\ufffd", {"\ufffd": "\\u0000"}]}


async def test_the_schema_refuses_a_row_that_contradicts_itself(
    store: PostgresTaskStore, pool: PostgresPool
) -> None:
    async with pool.dedicated(purpose="test") as connection:
        for wrong in (
            "status = 'lost'",
            "status = 'running'",
            "status = 'completed', finished_at = now(), result = '{}'",
            "status = 'failed', finished_at = now()",
            "result = '{}'",
            "finished_at = now()",
            "lane = 'urgent'",
            "attempts = -1",
            "started_at = now()",
            "goal = ''",
            "goal = repeat('x', 32769)",
            "status = 'failed', error = '{}', finished_at = created_at - interval '1 s'",
        ):
            task_id = await added(store)
            with pytest.raises(Exception, match="violates check constraint"):
                await connection.execute(f"update tasks set {wrong} where task_id = $1", task_id)


async def test_a_group_with_a_bad_task_fails_only_the_bad_one(store: PostgresTaskStore) -> None:
    bad = NewTask(task_id=TaskId("no uuid"), goal="x", lane=Lane.LOW)
    good = NewTask(task_id=new_task_id(), goal="x" * GOAL_LIMIT_BYTES, lane=Lane.LOW)
    failed, fine = await asyncio.gather(store.add(bad), store.add(good), return_exceptions=True)
    assert isinstance(failed, StoreRefused)
    assert fine is None
    assert await store.get(good.task_id) is not None


async def test_a_thousand_concurrent_tasks_take_few_statements(
    store: PostgresTaskStore, pool: PostgresPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    fetch = PostgresPool.fetch

    async def counting(
        self: PostgresPool, statement: Statement, *arguments: object
    ) -> list[Record]:
        statements.append(statement.name)
        return await fetch(self, statement, *arguments)

    monkeypatch.setattr(PostgresPool, "fetch", counting)
    tasks = await asyncio.gather(*(added(store) for _ in range(1000)))
    found = await asyncio.gather(*(store.get(task_id) for task_id in tasks))
    assert all(found)
    assert len(statements) <= 8


async def test_tasks_that_lost_their_message_are_given_out_once_and_stamped(
    store: PostgresTaskStore, pool: PostgresPool
) -> None:
    lost = [await added(store, f"goal {n}", Lane.HIGH) for n in range(5)]
    for status in TaskStatus:
        if status is not TaskStatus.QUEUED:
            await in_status(store, status)
    assert await store.put_back(unsent_for=timedelta(minutes=1), limit=10) == []

    async with pool.dedicated(purpose="test") as connection:
        await connection.execute("update tasks set queued_at = queued_at - interval '1 hour'")
    other = PostgresTaskStore(pool)
    taken = await asyncio.gather(
        *(each.put_back(unsent_for=timedelta(minutes=1), limit=3) for each in (store, other))
    )
    assert sorted(task.task_id for part in taken for task in part) == sorted(lost)
    assert {(task.goal, task.lane) for part in taken for task in part} == {
        (f"goal {n}", Lane.HIGH) for n in range(5)
    }
    assert await store.put_back(unsent_for=timedelta(minutes=1), limit=10) == []
    await other.aclose()


async def test_abandoned_tasks_are_failed_with_the_given_error_and_no_others(
    store: PostgresTaskStore,
) -> None:
    running = await in_status(store, TaskStatus.RUNNING)
    others = [await in_status(store, s) for s in TaskStatus if s is not TaskStatus.RUNNING]
    before = [await read(store, task_id) for task_id in others]
    hour = timedelta(hours=1)
    assert await store.fail_abandoned(running_for=hour, error=ERROR, limit=10) == []
    failed = await store.fail_abandoned(running_for=timedelta(0), error=ERROR, limit=10)
    assert failed == [running]
    assert (await read(store, running)).error == ERROR.as_json()
    assert [await read(store, task_id) for task_id in others] == before
