"""The HTTP edge is killed under load, again and again: task and first message, both or neither."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from http.client import HTTPException
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import httpx
import pytest

from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.postgres.outbox import Outbox
from octoqueue.primitives.envelope import decode_body
from octoqueue.primitives.messages import SessionId
from octoqueue.settings.postgres import PostgresSettings
from octoqueue.settings.root import Settings
from octoqueue.workflows.database import opened_database
from tests.databases import fresh_database
from tests.program import ROOT, Program
from tests.running import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

KILLS = 3
CALLERS = 16
WIDE = LaneBounds(high=100_000, normal=100_000, low=100_000)
CONFIG = """
http: {app: "workers.reflex.app:create_app", port: 0}
lanes: {bounds: {high: 100000, normal: 100000, low: 100000}}
"""


@pytest.fixture
async def dsn(postgres_dsn: str) -> AsyncGenerator[str]:
    async with fresh_database(postgres_dsn) as dsn:
        yield dsn


async def submit_until_it_dies(url: str, accepted: list[str], enough: asyncio.Event) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        while True:
            try:
                answer = await client.post("/api/v1/tasks", json={"goal": "Simple task"})
            except (httpx.HTTPError, HTTPException, OSError):
                return
            assert answer.status_code in {202, 503}, answer.text
            if answer.status_code == 202:
                accepted.append(answer.json()["task_id"])
            if len(accepted) % 100 == 0:
                enough.set()


@pytest.mark.timeout(180)
async def test_an_edge_killed_under_load_leaves_each_task_one_message_and_loses_none_it_accepted(
    redis_url: str, dsn: str, tmp_path: Path
) -> None:
    namespace = f"c{uuid4().hex[:8]}"
    environment = {
        "OCTOQUEUE_REDIS_URL": redis_url,
        "OCTOQUEUE_POSTGRES_URL": dsn,
        "OCTOQUEUE_NAMESPACE": namespace,
    }
    (tmp_path / "octoqueue.yaml").write_text(CONFIG)
    accepted: list[str] = []
    for _ in range(KILLS):
        with Program("serve", cwd=tmp_path, environment=environment) as edge:
            (started,) = await asyncio.to_thread(edge.says, r"http_started url=(\S+)")
            enough = asyncio.Event()
            callers = [
                asyncio.create_task(submit_until_it_dies(started[1], accepted, enough))
                for _ in range(CALLERS)
            ]
            await enough.wait()
            os.kill(edge.pid, signal.SIGKILL)
            await asyncio.gather(*callers)
    settings = Settings(postgres=PostgresSettings(url=dsn))
    async with opened_database(settings, application_name="test") as pool:
        left = (await Outbox(pool).size()).pending
        with Program("relay", cwd=ROOT, environment=environment):

            async def is_empty() -> bool:
                return (await Outbox(pool).size()).pending == 0

            await until(is_empty)
    connection = await asyncpg.connect(dsn)
    try:
        rows = [str(row["task_id"]) for row in await connection.fetch("select task_id from tasks")]
    finally:
        await connection.close()
    options = LaneOptions(namespace=namespace, default_bounds=WIDE)
    async with LaneBroker(redis_url, options=options).connected() as broker:
        leases = await broker.store().claim(SessionId("reader"), ["planner"], limit=100_000)
        assert (await broker.store().stats("planner")).waiting == 0
    messages = Counter(decode_body(lease.payload).kwargs["task_id"] for lease in leases)
    print(f"{len(accepted)} accepted, {len(rows)} rows, {left} left to the relay")
    assert messages == Counter(rows)
    assert set(accepted) <= set(rows)
