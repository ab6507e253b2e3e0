"""The edge while Redis or PostgreSQL is gone, hangs, and comes back; without a restart."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from octoqueue.settings.postgres import PostgresSettings
from octoqueue.settings.redis import RedisSettings
from octoqueue.settings.root import Settings
from tests.asgi import serving
from tests.databases import fresh_database
from tests.links import Link
from workers import room
from workers.reflex.app import create_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import httpx

TASKS = "/api/v1/tasks"
SOON = timedelta(seconds=0.5)


@pytest.fixture
async def redis_link(redis_url: str, tmp_path: Path) -> AsyncGenerator[Link]:
    link = Link(urlsplit(redis_url).path, tmp_path / "redis.sock")
    await link.mend()
    yield link
    link.flow()
    await link.cut()


@pytest.fixture
async def postgres_link(postgres_dsn: str, tmp_path: Path) -> AsyncGenerator[Link]:
    (folder,) = parse_qs(urlsplit(postgres_dsn).query)["host"]
    link = Link(f"{folder}/.s.PGSQL.5432", tmp_path / ".s.PGSQL.5432")
    await link.mend()
    yield link
    link.flow()
    await link.cut()


@pytest.fixture
async def client(
    redis_link: Link, postgres_link: Link, postgres_dsn: str, tmp_path: Path
) -> AsyncGenerator[httpx.AsyncClient]:
    async with fresh_database(postgres_dsn) as dsn:
        settings = Settings(
            namespace=f"t{uuid4().hex[:12]}",
            redis=RedisSettings(
                url=f"unix://{tmp_path}/redis.sock", command_timeout=SOON, connect_timeout=SOON
            ),
            postgres=PostgresSettings(
                url=f"postgresql://postgres@/{urlsplit(dsn).path[1:]}?host={tmp_path}",
                statement_timeout=SOON,
                connect_timeout=SOON,
            ),
        )
        async with serving(create_app(settings)) as client:
            yield client


async def submit(client: httpx.AsyncClient) -> httpx.Response:
    async with asyncio.timeout(15):
        return await client.post(TASKS, json={"goal": "Simple task"})


async def recovered(client: httpx.AsyncClient) -> httpx.Response:
    """Ask as a caller who was told 503 does: again."""
    async with asyncio.timeout(15):
        while (answer := await submit(client)).status_code == 503:  # noqa: ASYNC110 - as callers do
            await asyncio.sleep(0.05)
    return answer


@pytest.fixture(autouse=True)
def always_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, what is sent within half a second of an answer of Redis may be accepted."""
    monkeypatch.setattr(room, "LOOK_SECONDS", -1.0)


@pytest.mark.parametrize("part", ["redis", "postgres"])
async def test_a_cut_server_is_503_and_the_edge_recovers_by_itself(
    client: httpx.AsyncClient, redis_link: Link, postgres_link: Link, part: str
) -> None:
    link = redis_link if part == "redis" else postgres_link
    accepted = (await submit(client)).json()["task_id"]
    await link.cut()
    refused = await submit(client)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
    assert "retry-after" in refused.headers
    health = await client.get("/health")
    parts = {name: each["status"] for name, each in health.json()["parts"].items()}
    assert health.status_code == 503
    assert parts == {"redis": "ok", "postgres": "ok"} | {part: "unavailable"}

    await link.mend()
    assert (await recovered(client)).status_code == 202
    assert (await client.get("/health")).status_code == 200
    assert (await client.get(f"{TASKS}/{accepted}")).json()["status"] == "queued"


@pytest.mark.parametrize("part", ["redis", "postgres"])
async def test_a_server_that_hangs_is_503_in_time_and_the_edge_recovers_by_itself(
    client: httpx.AsyncClient, redis_link: Link, postgres_link: Link, part: str
) -> None:
    link = redis_link if part == "redis" else postgres_link
    assert (await submit(client)).status_code == 202
    link.hang()
    answers = await asyncio.gather(*(submit(client) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {503}
    link.flow()
    assert (await recovered(client)).status_code == 202


async def test_reads_need_no_redis(client: httpx.AsyncClient, redis_link: Link) -> None:
    accepted = (await submit(client)).json()["task_id"]
    await redis_link.cut()
    assert (await client.get(f"{TASKS}/{accepted}")).status_code == 200
