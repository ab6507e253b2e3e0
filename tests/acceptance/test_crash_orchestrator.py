"""Orchestrators as processes of the command line: killed, stopped, joined by others."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from octoqueue.primitives.clock import SystemClock
from octoqueue.workflows.protocol import Filter
from octoqueue.workflows.states import ExecutionStatus
from tests.orchestrator_app import THREE_STEPS
from tests.program import ROOT, Program
from tests.running import until
from tests.workflow_world import real_world

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from tests.workflow_world import WorkflowWorld

MODULE = "tests.orchestrator_app"
EXECUTIONS = 1_000
RECOVERY_SECONDS = 10


@pytest.fixture
async def world(postgres_dsn: str, redis_url: str) -> AsyncGenerator[WorkflowWorld]:
    async with real_world(postgres_dsn, redis_url) as world:
        yield world


@contextmanager
def running(world: WorkflowWorld, command: str, ran: Path) -> Generator[Program]:
    environment = {
        "OCTOQUEUE_REDIS_URL": world.redis_url,
        "OCTOQUEUE_POSTGRES_URL": world.dsn,
        "OCTOQUEUE_NAMESPACE": world.lanes.options.namespace,
        "OCTOQUEUE_WORKFLOWS__PARTITIONS": str(world.options.partitions),
        "RAN": str(ran),
    }
    with Program(command, MODULE, cwd=ROOT, environment=environment) as program:
        yield program


def ran_in(file: Path) -> Counter[str]:
    return Counter(file.read_text().splitlines()) if file.exists() else Counter()


@pytest.mark.timeout(180)
async def test_after_kill_9_of_the_only_orchestrator_a_thousand_executions_go_on_within_seconds(
    world: WorkflowWorld, tmp_path: Path
) -> None:
    ran, clock = tmp_path / "ran", SystemClock()
    with running(world, "worker", ran), running(world, "orchestrator", ran) as first:
        await asyncio.to_thread(first.says, "partitions_taken")
        started = await world.start_many(THREE_STEPS, range(EXECUTIONS))
        await until(lambda: len(ran_in(ran)) > EXECUTIONS)
        os.kill(first.pid, signal.SIGKILL)
        first.process.wait()
        open_ones = EXECUTIONS - len(
            await world.store.executions(Filter(status=ExecutionStatus.COMPLETED), limit=EXECUTIONS)
        )
        with running(world, "orchestrator", ran) as second:
            await asyncio.to_thread(second.says, "orchestrator_started")
            began = clock.monotonic()
            ended = await world.all_ended(
                [each.execution_id for each in started], patience_seconds=60
            )
            seconds = clock.monotonic() - began
    print(f"{open_ones} executions went on, all had ended after {seconds:.1f} s")
    assert {each.output for each in ended} == {b"3"}
    assert seconds < RECOVERY_SECONDS
    ran_twice = sum(count > 1 for count in ran_in(ran).values())
    assert ran_twice == 0, "workers lived on, so nothing was lost that ran"


@pytest.mark.timeout(120)
async def test_one_that_is_asked_to_stop_hands_over_and_says_so(
    world: WorkflowWorld, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    with running(world, "worker", ran), running(world, "orchestrator", ran) as first:
        await asyncio.to_thread(first.says, "partitions_taken")
        started = await world.start_many(THREE_STEPS, range(100))
        with running(world, "orchestrator", ran) as second:
            await asyncio.to_thread(second.says, "partitions_taken")
            first.signal(signal.SIGTERM)
            assert await asyncio.to_thread(first.ends) == 0
            assert any("orchestrator_stopped" in line for line in first.said)
            ended = await world.all_ended([each.execution_id for each in started])
    assert {each.output for each in ended} == {b"3"}
    assert set(ran_in(ran).values()) == {1}


async def test_a_module_without_workflows_is_refused_in_one_line(
    world: WorkflowWorld, tmp_path: Path
) -> None:
    environment = {"OCTOQUEUE_REDIS_URL": world.redis_url, "OCTOQUEUE_POSTGRES_URL": world.dsn}
    with Program("orchestrator", "json", cwd=tmp_path, environment=environment) as program:
        assert await asyncio.to_thread(program.ends) == 2
        assert any("json declares no workflow" in line for line in program.said)
