"""DBOS as an engine: one process, in an environment of its own, that is client and worker too."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from bench import peers
from bench.child import Child
from bench.engines.processes import cpu_seconds
from bench.engines.rig import Database, tally_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_PYTHON = Path(peers.__file__).parent / ".venv" / "dbos" / "bin" / "python"


def is_installed() -> bool:
    """Return whether `make bench-peers` was run."""
    return _PYTHON.exists()


class DbosEngine:
    """The process and a look into its tables."""

    def __init__(self, url: str, folder: str, tables: asyncpg.Connection[asyncpg.Record]) -> None:
        self.folder = folder
        self._url = url
        self._tables = tables
        self._life = AsyncExitStack()

    async def do(self, what: str, **facts: object) -> Mapping[str, Any]:
        """Let the process do something."""
        await self._ready()
        self._child.go_on(what=what, **facts)
        return await self._child.expect("done")

    async def completed(self, prefix: str) -> int:
        """Return how many have completed."""
        found: int = await self._tables.fetchval(
            "select count(*) from dbos.workflow_status "
            "where workflow_uuid like $1 and status = 'SUCCESS'",
            f"{prefix}%",
        )
        return found

    async def forget(self, prefix: str, count: int) -> None:
        """Let a new process not know of those that wait; the old one is killed."""
        del count
        await self.kill()
        await self._tables.execute(
            "update dbos.workflow_status set status = 'CANCELLED' where workflow_uuid like $1",
            f"{prefix}%",
        )
        await self.start()

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process."""
        return cpu_seconds(self._child.pid)

    def resident_bytes(self) -> int:
        """Return the memory of the process."""
        return self._child.resident_bytes()

    async def kill(self) -> None:
        """Kill the process."""
        await self._life.aclose()

    async def start(self) -> None:
        """Start the process."""
        child = Child(
            "bench.peers.adapters.with_dbos",
            python=str(_PYTHON),
            database=self._url,
            folder=self.folder,
        )
        self._child = await self._life.enter_async_context(child)

    async def _ready(self) -> None:
        await self._child.expect("ready")


@asynccontextmanager
async def dbos_engine(database: Database) -> AsyncIterator[DbosEngine]:
    """Run DBOS for the length of the block."""
    url = await database.create("dbos")
    async with tally_folder() as folder:
        tables = await asyncpg.connect(url)
        engine = DbosEngine(url, folder, tables)
        try:
            await engine.start()
            yield engine
        finally:
            await engine.kill()
            await tables.close()
