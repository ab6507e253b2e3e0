"""Ours as an engine: `octoqueue orchestrator`, `octoqueue worker`, and a client process."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from bench.child import Child
from bench.engines.processes import Process, cpu_seconds
from bench.engines.rig import Database, tally_folder
from bench.peers.flows import FOLDER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_APP = "bench.engines.app"
_SLOTS = 1_000
"""Of the worker: as many as there are steps held at once."""
_LOOK_AGAIN_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0


class OurEngine:
    """Three processes and a look into the tables."""

    def __init__(
        self,
        folder: str,
        client: Child,
        processes: tuple[Process, Process],
        tables: asyncpg.Connection[asyncpg.Record],
    ) -> None:
        self.folder = folder
        self._client = client
        self._orchestrator, self._worker = processes
        self._tables = tables

    async def do(self, what: str, **facts: object) -> Mapping[str, Any]:
        """Let the client do something."""
        await self._client.expect("ready")
        self._client.go_on(what=what, **facts)
        doing = asyncio.create_task(self._client.expect("done"))
        ends = [asyncio.create_task(each.ended()) for each in (self._orchestrator, self._worker)]
        await asyncio.wait((doing, *ends), return_when=asyncio.FIRST_COMPLETED)
        for task in (doing, *ends):
            task.cancel()
        try:
            return await doing
        except (TimeoutError, RuntimeError, asyncio.CancelledError) as error:
            logs = f"{self._orchestrator.log()}\n{self._worker.log()}"
            raise RuntimeError(f"{what}: {error!r}\n{logs}") from error

    async def completed(self, prefix: str) -> int:
        """Return how many have completed."""
        found: int = await self._tables.fetchval(
            "select count(*) from workflow_executions "
            "where workflow_id like $1 and status = 'completed'",
            f"{prefix}%",
        )
        return found

    async def forget(self, prefix: str, count: int) -> None:
        """End those that wait, by their signal."""
        await self.do("end", count=count, prefix=prefix)

    def cpu_seconds(self) -> float:
        """Return the CPU time of all three processes."""
        pids = (self._orchestrator.pid, self._worker.pid, self._client.pid)
        return sum(map(cpu_seconds, pids))

    def resident_bytes(self) -> int:
        """Return the memory of the orchestrator."""
        return self._orchestrator.resident_bytes()

    async def kill(self) -> None:
        """Kill the orchestrator."""
        await self._orchestrator.kill()

    async def start(self) -> None:
        """Start an orchestrator."""
        await self._orchestrator.start()


@asynccontextmanager
async def our_engine(redis_url: str, database: Database) -> AsyncIterator[OurEngine]:
    """Run ours for the length of the block."""
    url = await database.create("ours")
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(tally_folder())
        env = {
            FOLDER: folder,
            "OCTOQUEUE_REDIS_URL": redis_url,
            "OCTOQUEUE_POSTGRES_URL": url,
            "OCTOQUEUE_LOG__LEVEL": "warning",
        }
        orchestrator = Process("orchestrator", _APP, env=env)
        worker = Process("worker", _APP, "--queues", "steps", "--concurrency", str(_SLOTS), env=env)
        for process in (orchestrator, worker):
            stack.push_async_callback(process.kill)
            await process.start()
        tables = await asyncpg.connect(url)
        stack.push_async_callback(tables.close)
        client = await stack.enter_async_context(
            Child("bench.engines.client", python=sys.executable, env=env)
        )
        yield OurEngine(folder, client, (orchestrator, worker), tables)
