from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING

import asyncpg
import pytest

from octoqueue.errors import SchemaMismatch, StoreRefused
from octoqueue.postgres.migrator import Migrator, known_migrations, migrations_from
from octoqueue.postgres.pool import PostgresPool
from tests.databases import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

DESCRIBE = """
select 'column', c.relname, a.attname,
  format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' '
    || coalesce(pg_get_expr(d.adbin, d.adrelid), '') || ' ' || coalesce(c.reloptions::text, '')
from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
union all
select 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
from pg_constraint where connamespace = 'public'::regnamespace
union all
select 'index', tablename, indexname, indexdef from pg_indexes where schemaname = 'public'
union all
select 'function', proname, '', pg_get_functiondef(oid)
from pg_proc where pronamespace = 'public'::regnamespace
order by 1, 2, 3, 4
"""


@pytest.fixture
async def dsn(postgres_dsn: str) -> AsyncGenerator[str]:
    async with fresh_database(postgres_dsn) as dsn:
        yield dsn


async def describe(dsn: str) -> list[tuple[str, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(DESCRIBE)]
    finally:
        await connection.close()


async def tables(dsn: str) -> set[str]:
    return {row[1] for row in await describe(dsn) if row[0] == "column"}


async def test_the_written_schema_equals_the_migrations(dsn: str, postgres_dsn: str) -> None:
    async with PostgresPool(dsn) as pool:
        await Migrator(pool).migrate()
    async with fresh_database(postgres_dsn) as written:
        connection = await asyncpg.connect(written)
        try:
            await connection.execute(
                files("octoqueue.postgres").joinpath("schema.sql").read_text("utf-8")
            )
        finally:
            await connection.close()
        assert await describe(written) == await describe(dsn)


async def test_migrations_are_applied_once_and_the_version_is_told(dsn: str) -> None:
    async with PostgresPool(dsn) as pool:
        migrator = Migrator(pool)
        before = await migrator.state()
        assert (before.version, before.pending) == (0, known_migrations())
        assert await migrator.migrate() == known_migrations()
        assert await migrator.migrate() == ()
        after = await migrator.state()
        assert (after.version, after.pending) == (known_migrations()[-1].number, ())


async def test_processes_that_start_together_migrate_once(dsn: str) -> None:
    async with PostgresPool(dsn) as one, PostgresPool(dsn) as other:
        applied = await asyncio.gather(*(Migrator(pool).migrate() for pool in (one, other) * 3))
    assert sorted(map(len, applied)) == [0] * 5 + [len(known_migrations())]


async def test_a_migration_whose_text_changed_is_refused(dsn: str) -> None:
    async with PostgresPool(dsn) as pool:
        await Migrator(
            pool, known=migrations_from({"0001_pre_a.sql": "create table a ()"})
        ).migrate()
        changed = Migrator(pool, known=migrations_from({"0001_pre_a.sql": "create table b ()"}))
        with pytest.raises(SchemaMismatch, match="0001_pre_a"):
            await changed.migrate()
    assert await tables(dsn) == {"schema_migrations"}


async def test_a_failing_migration_leaves_nothing_of_itself_and_names_itself(dsn: str) -> None:
    known = migrations_from(
        {
            "0001_pre_a.sql": "create table a (n int)",
            "0002_pre_b.sql": "create table b (n int); select nonsense",
        }
    )
    async with PostgresPool(dsn) as pool:
        with pytest.raises(StoreRefused, match="0002_pre_b"):
            await Migrator(pool, known=known).migrate()
        assert (await Migrator(pool, known=known).state()).version == 1
    assert "a" in await tables(dsn)
    assert "b" not in await tables(dsn)


async def test_post_migrations_wait_for_the_second_step_except_on_a_new_database(dsn: str) -> None:
    def release(number: int) -> dict[str, str]:
        return {
            f"{number:04}_pre_x.sql": f"create table pre_{number} (n int)",
            f"{number + 1:04}_post_x.sql": f"create table post_{number} (n int)",
        }

    async with PostgresPool(dsn) as pool:
        first = Migrator(pool, known=migrations_from(release(1)))
        assert len(await first.migrate(before_code=True)) == 2
        second = Migrator(pool, known=migrations_from(release(1) | release(3)))
        assert [each.name for each in await second.migrate(before_code=True)] == ["0003_pre_x"]
        assert [each.name for each in await second.migrate()] == ["0004_post_x"]


async def test_a_database_ahead_of_this_code_is_accepted(dsn: str) -> None:
    ahead = {"9999_pre_x.sql": "create table x (n int)"}
    async with PostgresPool(dsn) as pool:
        await Migrator(pool).migrate()
        newer = [*known_migrations(), *migrations_from(ahead)]
        await Migrator(pool, known=newer).migrate()
        assert (await Migrator(pool).state()).pending == ()
