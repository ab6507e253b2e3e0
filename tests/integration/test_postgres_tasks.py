from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import StoreRefused
from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.postgres.statements import Statement, load_statements
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.postgres_tasks import PostgresTaskStore
from octoqueue.workflows.tasks import (
    GOAL_LIMIT_BYTES,
    NewTask,
    TaskId,
    TaskStatus,
    Verdict,
    new_task_id,
)
from tests.contract.task_store import FINAL, added, in_status, move, read
from tests.databases import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.postgres.pool import Record


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


async def test_rows_are_found_by_index_while_the_table_is_so_small_that_reading_it_is_cheaper(
    store: PostgresTaskStore, pool: PostgresPool
) -> None:
    """A plan made for a small table is kept while it grows: every group would read all of it."""
    ids = [await in_status(store, TaskStatus.RUNNING) for _ in range(3)]
    await pool.fetch(Statement(name="make_statistics", text="analyze tasks", parameters=0))
    moves: dict[str, tuple[object, ...]] = {
        "get_tasks": (ids,),
        "start_tasks": (ids, ["coder"] * 3),
        "finish_tasks": (ids, ["failed"] * 3, [None] * 3, ["{}"] * 3, [1] * 3),
        "withdraw_tasks": (ids,),
    }
    for name, arguments in moves.items():
        text = f"explain {load_statements('tasks')[name].text}"
        explained = Statement(name="explain_plan", text=text, parameters=len(arguments))
        plan = "\n".join(row[0] for row in await pool.fetch(explained, *arguments))
        assert "Index Scan using tasks_pkey" in plan or "Bitmap Index Scan" in plan, plan
        assert "Seq Scan" not in plan
        assert "Hash Join" not in plan
        assert "Merge Join" not in plan
