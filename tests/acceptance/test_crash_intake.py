"""The HTTP edge is killed under load, again and again: task and workflow, both or neither."""

from __future__ import annotations

import asyncio
import os
import signal
from http.client import HTTPException
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

from octoqueue.settings.postgres import PostgresSettings
from octoqueue.settings.root import Settings
from octoqueue.workflows.database import opened_database
from octoqueue.workflows.postgres_tasks import PostgresTaskStore
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from octoqueue.workflows.protocol import Filter
from octoqueue.workflows.tasks import TaskId, TaskStatus
from tests.databases import fresh_database
from tests.program import Program

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

KILLS = 3
CALLERS = 16
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
async def test_an_edge_killed_under_load_leaves_each_task_its_workflow_and_loses_none_it_accepted(
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
        tasks, workflows = PostgresTaskStore(pool), PostgresWorkflowStore(pool)
        executions = await workflows.executions(Filter(), limit=100_000)
        rows = [await tasks.get(TaskId(each.workflow_id)) for each in executions]
        queued = sum((await tasks.queued()).values())
        await workflows.aclose()
        await tasks.aclose()
    print(f"{len(accepted)} accepted, {queued} tasks, {len(executions)} executions")
    assert all(row is not None and row.status is TaskStatus.QUEUED for row in rows)
    assert queued == len(executions)
    assert set(accepted) <= {each.workflow_id for each in executions}
