"""What a caller sees while PostgreSQL is gone, hangs, or has just come back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from octoqueue.errors import ConfigError, StoreUnavailable
from octoqueue.postgres.pool import PostgresPool
from octoqueue.postgres.statements import Statement
from tests.databases import fresh_database
from tests.links import Link

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

SLEEP = Statement(name="sleep_long", text="select pg_sleep(60)", parameters=0)
SOON = timedelta(seconds=0.3)


@pytest.fixture
async def link(postgres_dsn: str, tmp_path: Path) -> AsyncGenerator[Link]:
    (folder,) = parse_qs(urlsplit(postgres_dsn).query)["host"]
    link = Link(f"{folder}/.s.PGSQL.5432", tmp_path / ".s.PGSQL.5432")
    await link.mend()
    yield link
    link.flow()
    await link.cut()


@asynccontextmanager
async def pool_through(tmp_path: Path) -> AsyncGenerator[PostgresPool]:
    dsn = f"postgresql://postgres@/postgres?host={tmp_path}"
    async with PostgresPool(dsn, query_timeout=SOON, connect_timeout=SOON) as pool:
        yield pool


async def test_a_pool_opens_without_a_server_and_works_as_soon_as_there_is_one(
    link: Link, tmp_path: Path
) -> None:
    await link.cut()
    async with pool_through(tmp_path) as pool:
        with pytest.raises(StoreUnavailable):
            await pool.check()
        await link.mend()
        await pool.check()


async def test_a_cut_link_fails_the_calls_under_way_and_the_next_ones_recover(
    link: Link, tmp_path: Path
) -> None:
    async with pool_through(tmp_path) as pool:
        link.hang()
        calls = [asyncio.create_task(pool.check()) for _ in range(5)]
        await asyncio.sleep(0)
        await link.cut()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        link.flow()
        await link.mend()
        await asyncio.gather(*(pool.check() for _ in range(20)))


async def test_a_server_that_hangs_is_reported_within_the_call_s_budget(
    link: Link, tmp_path: Path
) -> None:
    async with pool_through(tmp_path) as pool:
        await pool.check()
        link.hang()
        async with asyncio.timeout(5):
            answers = await asyncio.gather(
                *(pool.check() for _ in range(30)), return_exceptions=True
            )
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        link.flow()
        await pool.check()


async def test_closing_does_not_wait_for_a_server_that_hangs(link: Link, tmp_path: Path) -> None:
    async with asyncio.timeout(5):
        async with pool_through(tmp_path) as pool:
            link.hang()
            with pytest.raises(StoreUnavailable):
                await pool.check()
        with pytest.raises(StoreUnavailable, match="closed"):
            await pool.check()


async def test_a_statement_that_takes_too_long_is_stopped_on_the_server(
    postgres_dsn: str,
) -> None:
    async with (
        fresh_database(postgres_dsn) as dsn,
        PostgresPool(dsn, query_timeout=SOON, application_name="slow-test") as pool,
    ):
        with pytest.raises(StoreUnavailable, match="statement timeout"):
            await pool.fetch(SLEEP)
        await pool.check()


async def test_backends_killed_by_an_administrator_are_replaced(postgres_dsn: str) -> None:
    async with (
        fresh_database(postgres_dsn) as dsn,
        PostgresPool(dsn, min_size=4, application_name="killed-test") as pool,
    ):
        connection = await asyncpg.connect(postgres_dsn)
        try:
            killed = await connection.fetch(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                "where application_name = 'killed-test'"
            )
        finally:
            await connection.close()
        assert len(killed) == 4

        async def answers() -> bool:
            try:
                await pool.check()
            except StoreUnavailable:
                return False
            return True

        # The farewell of each backend may reach us with the next call on its connection.
        assert [await answers() for _ in range(8)][4:] == [True] * 4


async def test_the_server_knows_who_is_connected(postgres_dsn: str) -> None:
    named = Statement(
        name="name_self", text="select current_setting('application_name') as n", parameters=0
    )
    async with PostgresPool(postgres_dsn, application_name="octoqueue reflex") as pool:
        (row,) = await pool.fetch(named)
    assert row["n"] == "octoqueue reflex"


async def test_a_wrong_url_is_a_matter_of_configuration() -> None:
    with pytest.raises(ConfigError) as refused:
        await PostgresPool("http://nowhere").open()
    assert refused.value.key == "postgres.url"
