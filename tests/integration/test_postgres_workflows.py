"""What only PostgreSQL can get wrong about workflows: locks, plans, constraints."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest

from octoqueue.errors import StoreRefused, WorkflowFinished, WorkflowIdTaken, WorkflowUnknown
from octoqueue.postgres.migrator import Migrator, known_migrations
from octoqueue.postgres.pool import PostgresPool
from octoqueue.postgres.statements import Statement, load_statements
from octoqueue.workflows.executions import new_execution_id
from octoqueue.workflows.postgres_turns import turn_columns
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from octoqueue.workflows.protocol import Agent
from octoqueue.workflows.states import ExecutionStatus
from octoqueue.workflows.turns import rounds_of
from tests.contract.workflow_values import (
    ALL,
    Holder,
    a_signal,
    a_step,
    a_workflow,
    an_agent,
    begins,
    completes,
    ended,
    fails,
    loaded,
    read,
    started,
    turn,
)
from tests.databases import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.postgres.pool import PooledConnection
    from octoqueue.workflows.executions import NewExecution
    from octoqueue.workflows.journal import Turn

LEASE = timedelta(minutes=5)
WAITING = """
select count(*) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock'
"""

DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncGenerator[PostgresPool]:
    async with fresh_database(postgres_dsn) as dsn, PostgresPool(dsn) as pool:
        await Migrator(pool).migrate()
        yield pool


@pytest.fixture
async def store(pool: PostgresPool) -> AsyncGenerator[PostgresWorkflowStore]:
    store = PostgresWorkflowStore(pool)
    yield store
    await store.aclose()


async def somebody_waits(pool: PostgresPool) -> None:
    """Return when a statement waits for a lock."""
    waiting = Statement(name="count_waiting", text=WAITING, parameters=0)
    async with asyncio.timeout(30):
        while not (await pool.fetch(waiting))[0][0]:
            pass


async def write_in(connection: PooledConnection, holder: Holder, *turns: Turn) -> list[int]:
    """Write turns in a transaction of the test's."""
    (entries,) = rounds_of(turns)
    statement = load_statements("workflows_running")["write_turns"]
    arguments = turn_columns(holder.agent_id, entries, holder.epochs)
    lost: list[int] = await connection.fetchval(statement.text, *arguments)
    return lost


async def take_in(connection: PooledConnection, holder: Holder) -> None:
    """Take all partitions in a transaction of the test's."""
    text = load_statements("workflows_holds")["take_partitions"].text
    assert len(await connection.fetch(text, holder.agent_id, ALL)) == len(ALL)


async def forsaken(store: PostgresWorkflowStore, pool: PostgresPool) -> tuple[Holder, Holder]:
    """Return somebody who holds everything and whose lease is over, and a successor."""
    holder = await Holder.of(store, lease=LEASE)
    async with pool.transaction(purpose="test") as connection:
        await connection.execute("update agents set expires_at = now() - interval '1 hour'")
    successor = an_agent()
    await store.attend(Agent(agent_id=successor), lease=LEASE)
    return holder, Holder(store, successor, {})


async def signal_in(connection: PooledConnection, new: NewExecution) -> None:
    """Signal in a transaction of the test's."""
    text, signal = load_statements("workflows")["signal_workflows"].text, a_signal()
    await connection.fetch(
        text, [new.workflow_id], [signal.signal_id], ["sent"], ["go"], ["1"], [signal.sent_at_ms]
    )


def next_of(new: NewExecution) -> NewExecution:
    return replace(new, execution_id=new_execution_id(new.workflow_id), run=new.run + 1)


# ── who waits for whom ───────────────────────────────────────────────────────────────────────────


async def test_who_takes_a_partition_waits_for_the_write_under_way_and_then_sees_it(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    new = await started(store)
    holder, successor = await forsaken(store, pool)
    async with pool.transaction(purpose="test") as connection:
        assert await write_in(connection, holder, begins(new, a_step("1"))) == []
        taking = asyncio.create_task(store.take(successor.agent_id, ALL))
        await somebody_waits(pool)
    assert await taking == dict.fromkeys(ALL, 2)
    assert (await loaded(store, new)).steps == (a_step("1"),)
    assert await holder.write(turn(new, a_step("2"))) == {new.partition}


async def test_a_write_that_waited_for_a_successor_writes_nothing(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    new = await started(store)
    holder, successor = await forsaken(store, pool)
    async with pool.transaction(purpose="test") as connection:
        await take_in(connection, successor)
        writing = asyncio.create_task(holder.write(begins(new, a_step("1"))))
        await somebody_waits(pool)
    assert await writing == {new.partition}
    assert (await loaded(store, new)).steps == ()
    assert (await read(store, new)).status is ExecutionStatus.QUEUED


async def test_a_write_whose_successor_gave_up_is_written(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    new = await started(store)
    holder, successor = await forsaken(store, pool)
    writing: list[asyncio.Task[frozenset[int]]] = []
    with suppress(ZeroDivisionError):
        async with pool.transaction(purpose="test") as connection:
            await take_in(connection, successor)
            writing.append(asyncio.create_task(holder.write(begins(new, a_step("1")))))
            await somebody_waits(pool)
            raise ZeroDivisionError
    assert await writing[0] == frozenset()
    assert (await loaded(store, new)).steps == (a_step("1"),)


async def test_a_signal_sent_while_an_execution_continues_reaches_the_next_one(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    holder, new, signal = await Holder.of(store, lease=LEASE), await started(store), a_signal()
    after = next_of(new)
    await holder.wrote(begins(new))
    async with pool.transaction(purpose="test") as connection:
        continues = turn(new, status=ExecutionStatus.CONTINUED, continued=after)
        await write_in(connection, holder, continues)
        sending = asyncio.create_task(store.signal(new.workflow_id, signal))
        await somebody_waits(pool)
    assert (await sending).execution_id == after.execution_id
    assert (await loaded(store, after)).signals == (signal,)


async def test_an_execution_that_continues_waits_for_a_signal_under_way_and_hands_it_on(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    holder, new, signal = await Holder.of(store, lease=LEASE), await started(store), a_signal()
    after = next_of(new)
    await holder.wrote(begins(new))
    async with pool.transaction(purpose="test") as connection:
        text = load_statements("workflows")["signal_workflows"].text
        await connection.fetch(
            text, [new.workflow_id], [signal.signal_id], ["sent"], [signal.name], ["{}"], [5_000]
        )
        continues = turn(new, status=ExecutionStatus.CONTINUED, continued=after)
        writing = asyncio.create_task(holder.write(continues))
        await somebody_waits(pool)
    assert await writing == frozenset()
    assert (await loaded(store, new)).signals == ()
    assert (await loaded(store, after)).signals == (signal,)


async def test_a_signal_sent_while_an_execution_ends_is_refused(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    holder, new = await Holder.of(store, lease=LEASE), await started(store)
    async with pool.transaction(purpose="test") as connection:
        await write_in(connection, holder, completes(new))
        sending = asyncio.create_task(store.signal(new.workflow_id, a_signal()))
        await somebody_waits(pool)
    with pytest.raises(WorkflowFinished, match="completed"):
        await sending
    assert await store.open_executions(new.partition) == []


async def test_a_start_withdrawn_while_it_begins_stays(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    holder, new = await Holder.of(store, lease=LEASE), await started(store)
    async with pool.transaction(purpose="test") as connection:
        await write_in(connection, holder, begins(new, a_step("1")))
        withdrawing = asyncio.create_task(store.withdraw(new.execution_id))
        await somebody_waits(pool)
    assert not await withdrawing
    assert (await loaded(store, new)).steps == (a_step("1"),)


async def test_a_start_that_begins_while_it_is_withdrawn_leaves_nothing(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    holder, new = await Holder.of(store, lease=LEASE), await started(store, deadline_at_ms=7)
    async with pool.transaction(purpose="test") as connection:
        assert await store.withdraw_in(connection, [new.execution_id]) == [True]
        begin = begins(new, a_step("1", due_at_ms=8))
        writing = asyncio.create_task(holder.write(begin))
        await somebody_waits(pool)
    assert await writing == frozenset()
    assert await store.load([new.execution_id]) == []
    assert await store.timers(ALL, until_ms=10) == []
    assert await count(pool, "workflow_steps") == 0


async def test_a_signal_sent_while_its_execution_is_withdrawn_leaves_nothing(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    new = await started(store)
    async with pool.transaction(purpose="test") as connection:
        await signal_in(connection, new)
        withdrawing = asyncio.create_task(store.withdraw(new.execution_id))
        await somebody_waits(pool)
    assert await withdrawing
    assert await count(pool, "workflow_signals") == 0
    assert await store.open_executions(new.partition) == []


async def test_pruning_waits_for_nobody_and_comes_back(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    holder, new = await Holder.of(store, lease=LEASE), await started(store)
    await holder.wrote(completes(new))
    async with pool.transaction(purpose="test") as connection:
        await signal_in(connection, new)
        assert await store.prune(older_than=timedelta()) == 0
    assert await store.prune(older_than=timedelta()) == 1
    assert await store.newest(new.workflow_id) is None


async def test_a_retry_of_what_is_forgotten_meanwhile_says_that_it_is_not_there(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    holder, new = await Holder.of(store, lease=LEASE), await started(store)
    await holder.wrote(fails(new, a_step("1")))
    await holder.wrote(fails(await store.retry_from(new.execution_id, "1")))
    async with pool.transaction(purpose="test") as connection:
        await connection.execute("select from workflows for update")
        retrying = asyncio.create_task(store.retry_from(new.execution_id, "1"))
        await somebody_waits(pool)
        forget = "delete from workflow_executions where execution_id = $1::uuid"
        await connection.execute(forget, new.execution_id)
    with pytest.raises(WorkflowUnknown, match=new.execution_id):
        await retrying


async def test_signals_withdrawals_and_pruning_of_the_same_workflows_never_deadlock(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    other, holder = PostgresWorkflowStore(pool), await Holder.of(store, lease=LEASE)
    for _ in range(5):
        news = [await started(store) for _ in range(30)]
        await holder.wrote(*map(completes, news[::2]))
        answers = await asyncio.gather(
            *(other.signal(each.workflow_id, a_signal()) for each in reversed(news)),
            *(store.withdraw(each.execution_id) for each in news[1::2]),
            other.prune(older_than=timedelta()),
            return_exceptions=True,
        )
        refused = (each for each in answers if isinstance(each, BaseException))
        assert all(isinstance(each, WorkflowFinished | WorkflowUnknown) for each in refused)
    await store.prune(older_than=timedelta())
    assert await count(pool, "workflow_signals") == 0
    found = await pool.fetch(Statement(name="count_deadlocks", text=DEADLOCKS, parameters=0))
    assert found[0][0] == 0
    await other.aclose()


async def test_signals_and_writes_of_the_same_workflows_never_deadlock(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    other, holder = PostgresWorkflowStore(pool), await Holder.of(store, lease=LEASE)
    news = [await started(store) for _ in range(30)]
    await holder.wrote(*map(begins, news))
    for _ in range(5):
        blocks = (
            turn(each, status=ExecutionStatus.BLOCKED, error=b"{}") for each in reversed(news)
        )
        await asyncio.gather(
            holder.wrote(*blocks),
            *(store.signal(each.workflow_id, a_signal()) for each in news),
            *(other.signal(each.workflow_id, a_signal()) for each in reversed(news)),
        )
    found = await store.load([each.execution_id for each in news])
    assert [len(each.signals) for each in found] == [10] * len(news)
    await other.aclose()


# ── in somebody's transaction ────────────────────────────────────────────────────────────────────


async def test_starts_in_a_transaction_are_kept_when_it_commits(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    news = [a_workflow(deadline_at_ms=3) for _ in range(3)]
    with suppress(ZeroDivisionError):
        async with pool.transaction(purpose="test") as connection:
            assert all(each.is_new for each in await store.start_in(connection, news))
            raise ZeroDivisionError
    assert await store.load([each.execution_id for each in news]) == []
    async with pool.transaction(purpose="test") as connection:
        await store.start_in(connection, news)
        again = await store.start_in(connection, news)
        assert [each.is_new for each in again] == [False] * 3
    assert len(await store.load([each.execution_id for each in news])) == 3
    with pytest.raises(WorkflowIdTaken):
        async with pool.transaction(purpose="test") as connection:
            await store.start_in(connection, [replace(news[0], input=b"2"), a_workflow()])
    assert await count(pool, "workflows") == 3


async def test_a_start_waits_for_an_equal_one_in_another_transaction(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    new = a_workflow()
    async with pool.transaction(purpose="test") as connection:
        await store.start_in(connection, [new])
        starting = asyncio.create_task(store.start(next_of(new)))
        await somebody_waits(pool)
    made = await starting
    assert (made.is_new, made.execution.execution_id) == (False, new.execution_id)


async def test_a_group_with_a_name_postgresql_cannot_keep_fails_only_that_one(
    store: PostgresWorkflowStore,
) -> None:
    good, bad = a_workflow(), a_workflow(name="a\0b")
    fine, failed = await asyncio.gather(store.start(good), store.start(bad), return_exceptions=True)
    assert not isinstance(fine, BaseException)
    assert isinstance(failed, StoreRefused)


async def test_a_megabyte_comes_back_to_the_byte(store: PostgresWorkflowStore) -> None:
    large = b'{"text":"' + b"\\u0000\xc3\xa9" * 130_000 + b'"}'
    holder, new = await Holder.of(store, lease=LEASE), await started(store, input=large)
    await holder.wrote(begins(new, ended(a_step("1", input=large), 1, large)))
    await holder.wrote(completes(new, output=large))
    found = await loaded(store, new)
    assert (found.execution.input, found.execution.output) == (large, large)
    assert (found.steps[0].input, found.steps[0].output) == (large, large)


# ── the schema ───────────────────────────────────────────────────────────────────────────────────


async def count(pool: PostgresPool, table: str) -> int:
    statement = Statement(name="count_rows", text=f"select count(*) from {table}", parameters=0)
    found: int = (await pool.fetch(statement))[0][0]
    return found


WRONG = {
    "workflows": (
        "status = 'lost'",
        "run = 0",
        "name = ''",
    ),
    "workflow_executions": (
        "status = 'lost'",
        "status = 'running'",
        "started_at = now()",
        "status = 'running', started_at = created_at - interval '1 s'",
        "status = 'running', started_at = now(), error = '{}'",
        "status = 'blocked'",
        "status = 'completed', started_at = now(), finished_at = now()",
        "status = 'completed', started_at = now(), output = '1'",
        "status = 'completed', output = '1', finished_at = now()",
        "status = 'failed', finished_at = now()",
        "status = 'failed', error = '{}'",
        "status = 'failed', error = '{}', output = '1', finished_at = now()",
        "status = 'cancelled', error = '{}', finished_at = created_at - interval '1 s'",
        "status = 'continued', finished_at = now()",
        "lane = 'urgent'",
        "complexity = 'extreme'",
        "run = 0",
        "partition = -1",
        "parent_step = '1'",
    ),
    "workflow_steps": (
        "kind = 'dance'",
        "status = 'lost'",
        "ordinal = 1",
        "output = '1'",
        "error = '{}'",
        "status = 'completed', ordinal = -1",
        "attempts = -1",
    ),
    "workflow_signals": (
        "kind = 'dance'",
        "state = 'lost'",
        "state = 'refused'",
        "error = '{}'",
    ),
    "workflow_partitions": ("epoch = -1",),
    "agents": ("status = 'lost'",),
}


async def test_the_schema_refuses_rows_that_contradict_themselves(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    holder, new = await Holder.of(store, lease=LEASE), await started(store)
    await holder.wrote(begins(new, a_step("1")))
    await store.signal(new.workflow_id, a_signal())
    queued = await started(store)
    for table, wrongs in WRONG.items():
        for wrong in wrongs:
            which = (
                f" where execution_id = '{queued.execution_id}'" if "executions" in table else ""
            )
            with pytest.raises(StoreRefused, match="violates check constraint"):
                async with pool.transaction(purpose="test") as connection:
                    await connection.execute(f"update {table} set {wrong}{which}")


async def test_what_orchestrators_and_callers_ask_is_answered_by_indexes_of_the_months_concerned(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    new = await started(store, deadline_at_ms=7)
    ids, first = [new.execution_id], "00000000-0000-0000-0000-000000000000"
    plans: dict[str, dict[str, tuple[object, ...]]] = {
        "workflows": {
            "get_executions": (ids,),
            "get_newest": ([new.workflow_id],),
            "withdraw_executions": (ids,),
            "list_unwell_executions": ("failed", None, None, 10),
            "list_unfinished_executions": ("queued", None, None, 10),
            "list_executions_of_workflow": (new.workflow_id, None, None, None, None, 10),
            "list_executions_of_user": ("a", None, None, None, 10),
            "list_executions": (None, None, None, 10),
        },
        "workflows_running": {
            "get_steps": (ids,),
            "get_signals": (ids,),
            "list_open_executions": (3, first, 10),
            "list_pending_calls": (3, first, "", 10),
            "list_timers": ([1, 2], 5, 10),
            "list_blocked": (3, ["a"], first, 10),
        },
    }
    for owner, statements in plans.items():
        for name, arguments in statements.items():
            text = f"explain (analyze, costs off) {load_statements(owner)[name].text}"
            explained = Statement(name="explain_plan", text=text, parameters=len(arguments))
            plan = "\n".join([row[0] for row in await pool.fetch(explained, *arguments)])
            assert "Index" in plan, (name, plan)
            assert "Seq Scan" not in plan, (name, plan)
            assert "Gather" not in plan, (name, plan)
            if name.startswith("get_"):
                assert "never executed" in plan, (name, plan)


async def test_a_step_is_written_on_its_page_when_it_ends(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    holder, news = await Holder.of(store, lease=LEASE), [await started(store) for _ in range(50)]
    for each in news:
        await holder.wrote(begins(each, a_step("1")))
    await holder.wrote(*(turn(each, ended(a_step("1"), 1)) for each in news))
    text = """
      select sum(n_tup_hot_upd), sum(n_tup_upd) from pg_stat_user_tables
      where relname like 'workflow_steps%'
    """
    counted = Statement(name="count_updates", text=text, parameters=0)
    flush = Statement(name="flush_counts", text="select pg_stat_force_next_flush()", parameters=0)
    async with asyncio.timeout(30):
        while (row := (await pool.fetch(counted))[0])[1] < len(news):
            await asyncio.gather(*(pool.fetch(flush) for _ in range(10)))
    assert row[0] > row[1] * 8 // 10


async def test_a_database_that_was_there_before_workflows_keeps_working(dsn_before: str) -> None:
    async with PostgresPool(dsn_before) as pool:
        connection = await asyncpg.connect(dsn_before)
        try:
            await connection.execute(
                "insert into tasks (task_id, goal, lane) values (gen_random_uuid(), 'x', 'low')"
            )
        finally:
            await connection.close()
        applied = await Migrator(pool).migrate(before_code=True)
        assert [each.name for each in applied][:1] == ["0003_pre_workflows"]
        assert await count(pool, "tasks") == 1


@pytest.fixture
async def dsn_before(postgres_dsn: str) -> AsyncGenerator[str]:
    """A database as the release before workflows has left it."""
    async with fresh_database(postgres_dsn) as dsn:
        async with PostgresPool(dsn) as pool:
            known = [each for each in known_migrations() if each.number < 3]
            await Migrator(pool, known=known).migrate()
        yield dsn
