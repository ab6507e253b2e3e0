"""The platform's orchestrator and arms are killed while tasks run: every task is done, once."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from tests.databases import fresh_database
from tests.program import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

TASKS = 60
KILLS = 4
GOALS = (
    "List files in /tmp directory",
    "Write a Python function to sort a list",
    "Analyze security of a web application",
)
DIRECT_ARMS = ("executor", "coder", "guardian")
"""Who does each of them by itself."""
ARMS = ("planner", "executor", "coder", "judge", "guardian", "retriever")


@pytest.fixture
async def dsn(postgres_dsn: str) -> AsyncGenerator[str]:
    async with fresh_database(postgres_dsn) as dsn:
        yield dsn


async def submitted(client: httpx.AsyncClient, number: int, *, direct: bool = False) -> str:
    body = {"goal": GOALS[number % len(GOALS)], "priority": "low"}
    if direct:
        body["arm"] = DIRECT_ARMS[number % len(GOALS)]
    answer = await client.post("/api/v1/tasks", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


async def finished(client: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    async with asyncio.timeout(90):
        while True:
            state: dict[str, Any] = (await client.get(f"/api/v1/tasks/{task_id}")).json()
            if state["status"] in {"completed", "failed"}:
                return state
            await asyncio.sleep(0.05)


@pytest.mark.timeout(240)
async def test_every_task_is_done_however_often_orchestrators_and_arms_are_killed(
    redis_url: str, dsn: str
) -> None:
    environment = {
        "OCTOQUEUE_REDIS_URL": redis_url,
        "OCTOQUEUE_POSTGRES_URL": dsn,
        "OCTOQUEUE_NAMESPACE": f"c{uuid4().hex[:8]}",
        "OCTOQUEUE_HTTP__PORT": "0",
        "OCTOQUEUE_LANES__LEASE": "2s",
        "OCTOQUEUE_WORKFLOWS__LEASE": "2s",
    }

    def program(*arguments: str) -> Program:
        return Program(*arguments, cwd=ROOT, environment=environment)

    modules = [f"workers.arms.{arm}" for arm in ARMS]
    worker = ("worker", *modules, "workers.admin")
    orchestrator = ("orchestrator", "workers.orchestrator.agent")
    everything: list[str] = []
    with program("serve") as edge, program(*worker) as steady:
        (started,) = await asyncio.to_thread(edge.says, r"http_started url=(\S+)")
        await asyncio.to_thread(steady.says, "worker_started")
        async with httpx.AsyncClient(base_url=started[1]) as client:
            for number in range(KILLS):
                with program(*orchestrator) as doomed, program(*worker) as arm:
                    await asyncio.to_thread(doomed.says, "orchestrator_started")
                    await asyncio.to_thread(arm.says, "worker_started")
                    ids = [await submitted(client, each) for each in range(TASKS // KILLS)]
                    await finished(client, ids[number])
                    os.kill(doomed.pid, signal.SIGKILL)
                    os.kill(arm.pid, signal.SIGKILL)
                everything += ids
            with program(*orchestrator):
                states = [await finished(client, task_id) for task_id in everything]
    assert {state["status"] for state in states} == {"completed"}


@pytest.mark.timeout(240)
async def test_every_task_that_names_its_arm_is_done_however_often_edges_and_arms_are_killed(
    redis_url: str, dsn: str
) -> None:
    environment = {
        "OCTOQUEUE_REDIS_URL": redis_url,
        "OCTOQUEUE_POSTGRES_URL": dsn,
        "OCTOQUEUE_NAMESPACE": f"c{uuid4().hex[:8]}",
        "OCTOQUEUE_HTTP__PORT": "0",
        "OCTOQUEUE_LANES__LEASE": "2s",
    }

    def program(*arguments: str) -> Program:
        return Program(*arguments, cwd=ROOT, environment=environment)

    worker = ("worker", *(f"workers.arms.{arm}" for arm in DIRECT_ARMS), "workers.admin")
    everything: list[str] = []
    for number in range(KILLS):
        with program("serve") as edge, program(*worker) as arm:
            (started,) = await asyncio.to_thread(edge.says, r"http_started url=(\S+)")
            await asyncio.to_thread(arm.says, "worker_started")
            async with httpx.AsyncClient(base_url=started[1]) as client:
                posts = [submitted(client, each, direct=True) for each in range(TASKS // KILLS)]
                ids = await asyncio.gather(*posts)
                await finished(client, ids[number])
            os.kill(arm.pid, signal.SIGKILL)
            os.kill(edge.pid, signal.SIGKILL)
        everything += ids
    with program("serve") as edge, program(*worker):
        (started,) = await asyncio.to_thread(edge.says, r"http_started url=(\S+)")
        async with httpx.AsyncClient(base_url=started[1]) as client:
            states = [await finished(client, task_id) for task_id in everything]
    assert {state["status"] for state in states} == {"completed"}
