"""A relay process that is killed in the middle of 2,000 rows; every message runs once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest

import octoqueue
from octoqueue.postgres.outbox import Outbox
from octoqueue.settings.postgres import PostgresSettings
from octoqueue.settings.root import Settings
from octoqueue.workflows.database import opened_database
from tests.databases import fresh_database
from tests.program import ROOT, Program, message
from tests.running import until
from tests.worker_processes import QUEUE, Crashes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from octoqueue.postgres.pool import PostgresPool

ROWS = 2_000


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncGenerator[tuple[str, PostgresPool]]:
    async with fresh_database(postgres_dsn) as dsn:
        settings = Settings(postgres=PostgresSettings(url=dsn))
        async with opened_database(settings, application_name="test") as pool:
            yield dsn, pool


def relaying(crashes: Crashes, dsn: str) -> Program:
    environment = {
        "OCTOQUEUE_REDIS_URL": crashes.redis_url,
        "OCTOQUEUE_POSTGRES_URL": dsn,
        "OCTOQUEUE_NAMESPACE": crashes.namespace,
    }
    return Program("relay", cwd=ROOT, environment=environment)


async def write_rows(dsn: str, crashes: Crashes, numbers: range, *, in_sql: bool) -> None:
    """Write rows as programs do: several in each of many transactions."""
    connection = await asyncpg.connect(dsn)
    try:
        for first in range(numbers.start, numbers.stop, 50):
            some = range(first, min(first + 50, numbers.stop))
            async with connection.transaction():
                if in_sql:
                    await connection.executemany(
                        "select octoqueue_enqueue('work', jsonb_build_array($1::int), queue => $2)",
                        [(number, QUEUE) for number in some],
                    )
                else:
                    messages = [message(QUEUE, "work", number) for number in some]
                    await octoqueue.enqueue_in(connection, *messages, broker=crashes.broker())
    finally:
        await connection.close()


@pytest.mark.timeout(180)
async def test_a_relay_killed_again_and_again_in_the_middle_of_2000_rows_sends_each_message_once(
    redis_url: str, database: tuple[str, PostgresPool], tmp_path: Path
) -> None:
    dsn, pool = database
    crashes = Crashes(redis_url, f"c{uuid4().hex[:8]}", tmp_path / "ran")
    kills = 0
    async with crashes.broker().connected() as broker:
        store = broker.store()

        async def enqueued() -> int:
            return (await store.stats(QUEUE)).counters.get("enqueued", 0)

        writing = asyncio.gather(
            write_rows(dsn, crashes, range(ROWS // 2), in_sql=False),
            write_rows(dsn, crashes, range(ROWS // 2, ROWS), in_sql=True),
        )
        for target in (1, 300, 700, 1_100, 1_500):
            with relaying(crashes, dsn) as relay:

                async def reached(wanted: int = target) -> bool:
                    return await enqueued() >= wanted

                await until(reached)
                os.kill(relay.pid, signal.SIGKILL)
                relay.process.wait()
                kills += 1
        await writing
        left = await Outbox(pool).size()
        with relaying(crashes, dsn) as relay, crashes.worker():
            await until(lambda: _is_empty(pool))
            await until(lambda: _ended(crashes))
            relay.signal(signal.SIGTERM)
            assert relay.ends() == 0, relay.transcript
        assert await enqueued() == ROWS
        stats = await store.stats(QUEUE)
    ran = Counter(crashes.lines())
    print(f"{kills} kills, {left.pending} rows left for the last relay")
    assert ran == Counter(str(number) for number in range(ROWS))
    assert (stats.waiting, stats.delayed, stats.dead) == (0, 0, 0)


async def _is_empty(pool: PostgresPool) -> bool:
    size = await Outbox(pool).size()
    return (size.pending, size.failed) == (0, 0)


async def _ended(crashes: Crashes) -> bool:
    return len(crashes.lines()) >= ROWS
