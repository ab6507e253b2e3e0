"""Retention: months are made ahead, dropped when all of it has ended, thinned out before."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest

from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.postgres.statements import Statement
from octoqueue.primitives.ids import affinity_of_name
from octoqueue.workflows.executions import ExecutionId
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from octoqueue.workflows.states import ExecutionStatus
from tests.contract.workflow_values import (
    Holder,
    a_signal,
    a_step,
    a_workflow,
    begins,
    completes,
    loaded,
    read,
    started,
)
from tests.databases import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.workflows.executions import NewExecution

LEASE = timedelta(minutes=5)
RETENTION = timedelta(days=90)
DIVISIONS = """
select c.relname, pg_get_expr(c.relpartbound, c.oid)
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where c.relkind = 'r' order by c.relname
"""
MONTHS = "select octoqueue_make_workflow_months_v1($1::date, $2::integer)"
# What an execution of a test lived through began and ended at the time in its id.
AGE = """
update workflow_executions set
  created_at = now() - $1::interval, started_at = now() - $1::interval,
  finished_at = case when finished_at is not null then now() - $1::interval end
where execution_id = any($2::uuid[])
"""
HOMES = "select tableoid::regclass::text from {table} where execution_id = $1::uuid"


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


async def ask(pool: PostgresPool, text: str, *arguments: object) -> list[tuple[object, ...]]:
    statement = Statement(name="ask_something", text=text, parameters=len(arguments))
    return [tuple(row) for row in await pool.fetch(statement, *arguments)]


async def divisions(pool: PostgresPool) -> set[str]:
    return {str(name) for name, _ in await ask(pool, DIVISIONS)}


def an_old_one(moment: datetime) -> NewExecution:
    """Return an execution whose id was made at that moment."""
    new = a_workflow()
    milliseconds = int(moment.timestamp() * 1000)
    raw = milliseconds.to_bytes(6) + bytes.fromhex("7000 8000 00000000")
    raw += affinity_of_name(new.workflow_id)
    text = raw.hex()
    ident = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    return replace(new, execution_id=ExecutionId(ident))


async def home_of(pool: PostgresPool, table: str, new: NewExecution) -> set[object]:
    return {row[0] for row in await ask(pool, HOMES.format(table=table), new.execution_id)}


async def test_a_new_database_has_the_months_to_come_and_a_place_for_all_else(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    (now,) = (await ask(pool, "select now()"))[0]
    assert isinstance(now, datetime)
    year, month = now.year, now.month
    expected: set[str] = set()
    for n in range(4):
        name = f"{year + (month + n - 1) // 12}_{(month + n - 1) % 12 + 1:02}"
        for table in ("executions", "steps", "signals"):
            expected |= {f"workflow_{table}_{name}", f"workflow_{table}_other"}
    assert await divisions(pool) == expected

    new = await started(store)
    holder = await Holder.of(store, lease=LEASE)
    await holder.wrote(begins(new, a_step("1")))
    await store.signal(new.workflow_id, a_signal())
    for table in ("executions", "steps", "signals"):
        homes = await home_of(pool, f"workflow_{table}", new)
        assert homes == {f"workflow_{table}_{now.year}_{now.month:02}"}


async def test_a_month_ends_where_the_next_one_begins_to_the_millisecond(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    await ask(pool, MONTHS, datetime(2031, 12, 24, tzinfo=UTC), 2)
    midnight = datetime(2032, 1, 1, tzinfo=UTC)
    last, first = an_old_one(midnight - timedelta(milliseconds=1)), an_old_one(midnight)
    for new, home in ((last, "2031_12"), (first, "2032_01")):
        await store.start(new)
        assert await home_of(pool, "workflow_executions", new) == {f"workflow_executions_{home}"}


async def test_what_has_no_month_is_kept_all_the_same_and_its_month_is_left_out(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    moment = datetime(2040, 5, 5, tzinfo=UTC)
    new = an_old_one(moment)
    await store.start(new)
    assert await home_of(pool, "workflow_executions", new) == {"workflow_executions_other"}
    assert await ask(pool, MONTHS, moment, 2) == [(1,)]
    assert "workflow_executions_2040_05" not in await divisions(pool)
    assert "workflow_steps_2040_05" not in await divisions(pool)
    assert "workflow_steps_2040_06" in await divisions(pool)
    holder = await Holder.of(store, lease=LEASE)
    await holder.wrote(begins(new, a_step("1")))
    assert (await loaded(store, new)).steps == (a_step("1"),)


async def test_a_month_in_which_all_has_ended_is_dropped_with_its_workflows(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    moment = datetime(2020, 3, 3, tzinfo=UTC)
    await ask(pool, MONTHS, moment, 1)
    old = [an_old_one(moment + timedelta(hours=n)) for n in range(3)]
    await asyncio.gather(*map(store.start, old))
    holder = await Holder.of(store, lease=LEASE)
    await holder.wrote(*(completes(each, a_step("1")) for each in old))
    assert await store.prune(older_than=RETENTION) == 0
    assert "workflow_executions_2020_03" in await divisions(pool)

    await ask(pool, AGE, timedelta(days=100), [each.execution_id for each in old])
    assert await store.prune(older_than=RETENTION) == 3
    assert not {each for each in await divisions(pool) if each.endswith("2020_03")}
    for each in old:
        assert await store.newest(each.workflow_id) is None
        assert await store.execution(each.execution_id) is None


async def test_a_month_with_one_that_runs_stays_and_the_others_are_deleted(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    moment = datetime(2020, 3, 3, tzinfo=UTC)
    await ask(pool, MONTHS, moment, 1)
    old = [an_old_one(moment + timedelta(hours=n)) for n in range(4)]
    await asyncio.gather(*map(store.start, old))
    holder = await Holder.of(store, lease=LEASE)
    runs, late, *done = old
    await holder.wrote(begins(runs), *(completes(each, a_step("1")) for each in (late, *done)))
    await ask(pool, AGE, timedelta(days=100), [each.execution_id for each in (runs, *done)])
    assert await store.prune(older_than=RETENTION) == 2
    assert "workflow_executions_2020_03" in await divisions(pool)
    assert await ask(pool, "select count(*) from workflow_steps") == [(1,)]
    assert len(await store.load([each.execution_id for each in old])) == 2
    assert (await read(store, runs)).finished_at is None


async def test_a_workflow_goes_on_when_the_month_of_its_first_execution_is_dropped(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    moment = datetime(2020, 3, 3, tzinfo=UTC)
    await ask(pool, MONTHS, moment, 1)
    old = an_old_one(moment)
    await store.start(old)
    holder = await Holder.of(store, lease=LEASE)
    await holder.wrote(begins(old, a_step("1")))
    await holder.wrote(completes(old, status=ExecutionStatus.FAILED, output=None, error=b"{}"))
    again = await store.retry_from(old.execution_id, "1")
    await ask(pool, AGE, timedelta(days=100), [old.execution_id])
    assert await store.prune(older_than=RETENTION) == 1
    assert await store.newest(old.workflow_id) == again
    assert "workflow_executions_2020_03" not in await divisions(pool)


async def test_a_month_somebody_reads_is_dropped_the_next_time(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    moment = datetime(2020, 3, 3, tzinfo=UTC)
    await ask(pool, MONTHS, moment, 1)
    old = an_old_one(moment)
    await store.start(old)
    await (await Holder.of(store, lease=LEASE)).wrote(completes(old))
    await ask(pool, AGE, timedelta(days=100), [old.execution_id])
    async with pool.transaction(purpose="test") as connection:
        await connection.execute("select count(*) from workflow_executions_2020_03")
        await store.prune(older_than=RETENTION)
        assert "workflow_executions_2020_03" in await divisions(pool)
    await store.prune(older_than=RETENTION)
    assert "workflow_executions_2020_03" not in await divisions(pool)
    assert await store.execution(old.execution_id) is None


async def test_pruning_makes_room_ahead(store: PostgresWorkflowStore, pool: PostgresPool) -> None:
    before = await divisions(pool)
    await store.prune(older_than=RETENTION, now=datetime(2035, 11, 30, tzinfo=UTC))
    made = await divisions(pool) - before
    assert made == {
        f"workflow_{table}_{month}"
        for table in ("executions", "steps", "signals")
        for month in ("2035_11", "2035_12", "2036_01", "2036_02")
    }


async def test_agents_that_are_long_gone_are_forgotten_unless_they_hold_something(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    idle = await Holder.of(store, lease=LEASE, partitions=[])
    holding = await Holder.of(store, lease=LEASE)
    await ask(pool, "update agents set expires_at = now() - interval '2 days'")
    await store.prune(older_than=RETENTION)
    left = await ask(pool, "select agent_id::text from agents")
    assert left == [(holding.agent_id,)]
    assert idle.agent_id != holding.agent_id


async def test_what_a_clock_years_ahead_named_is_forgotten_in_time_all_the_same(
    store: PostgresWorkflowStore, pool: PostgresPool
) -> None:
    far = an_old_one(datetime.now(UTC) + timedelta(days=2_000))
    holder = await Holder.of(store, lease=LEASE)
    await store.start(far)
    await holder.wrote(completes(far))
    assert await home_of(pool, "workflow_executions", far) == {"workflow_executions_other"}
    assert await store.prune(older_than=RETENTION) == 0
    assert await store.prune(older_than=timedelta()) == 1
    assert await store.newest(far.workflow_id) is None


async def test_a_role_that_may_not_make_or_drop_tables_prunes_row_by_row_and_says_so(
    postgres_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with fresh_database(postgres_dsn) as dsn, PostgresPool(dsn) as owner:
        await Migrator(owner).migrate()
        role = f"clerk_{uuid4().hex}"
        for text in (
            f"create role {role} login",
            f"grant select, insert, update, delete on all tables in schema public to {role}",
            f"revoke create on schema public from public, {role}",
        ):
            await ask(owner, text)
        long_ago = an_old_one(datetime.now(UTC) - timedelta(days=200))
        await ask(owner, MONTHS, datetime.now(UTC) - timedelta(days=200), 1)
        parts = urlsplit(dsn)
        clerks = urlunsplit(parts._replace(netloc=role + parts.netloc[parts.netloc.index("@") :]))
        async with PostgresPool(clerks) as pool:
            store = PostgresWorkflowStore(pool)
            holder = await Holder.of(store, lease=LEASE)
            await store.start(long_ago)
            await holder.wrote(completes(long_ago))
            await ask(owner, AGE, timedelta(days=150), [long_ago.execution_id])
            later = datetime.now(UTC) + timedelta(days=100)
            assert await store.prune(older_than=RETENTION, now=later) == 1
            assert await store.newest(long_ago.workflow_id) is None
            await store.aclose()
        assert await ask(owner, "select count(*) from workflow_executions") == [(0,)]
        for text in (f"drop owned by {role}", f"drop role {role}"):
            await ask(owner, text)
    assert {record.message for record in caplog.records} >= {
        "workflow_months_not_made",
        "workflow_month_not_dropped",
    }
