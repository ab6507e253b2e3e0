"""What every engine of workflows can be asked, and the database all of them use.

An engine is some processes and one client that starts workflows. The client is a child
(`bench.child`) that understands four orders: `drain` runs workflows to their end as fast as it
goes, `paced` starts them when they are due, `wait` starts some that wait for a signal, `hold` some
whose second step waits for a gate. The engine can be killed and started again without its client
knowing; what has been done is read in the tallies of the steps and in the database.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from bench.engines.processes import cpu_seconds
from octoqueue.embedded.services import EmbeddedServices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_SHARED = Path("/dev/shm")  # noqa: S108 - files that are mapped belong in memory
_IN_MEMORY = _SHARED if _SHARED.is_dir() else None


class Engine(Protocol):
    """An engine that runs."""

    folder: str
    """Where its steps count what they have run."""

    async def do(self, what: str, **facts: object) -> Mapping[str, Any]:
        """Let the client do something; return what it says of it."""
        ...

    async def completed(self, prefix: str) -> int:
        """Return how many workflows have completed whose id begins so."""
        ...

    async def forget(self, prefix: str, count: int) -> None:
        """End those that wait, so that they are no burden to what is measured next."""
        ...

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes, without those of servers."""
        ...

    def resident_bytes(self) -> int:
        """Return the memory of the process that keeps executions."""
        ...

    async def kill(self) -> None:
        """Kill that process with SIGKILL."""
        ...

    async def start(self) -> None:
        """Start that process; returns as soon as it has a process id."""
        ...


@dataclass(frozen=True, slots=True)
class Database:
    """A PostgreSQL as users get it: every commit is on disk before it is answered."""

    url: str
    pid: int
    facts: Mapping[str, str]

    def cpu_seconds(self) -> float:
        """Return what the server has spent."""
        return cpu_seconds(self.pid)

    async def create(self, name: str) -> str:
        """Make an empty database; return its url."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(f'create database "{name}"')
        finally:
            await connection.close()
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"/{name}"))


@asynccontextmanager
async def private_database() -> AsyncIterator[Database]:
    """Run a private PostgreSQL for the length of the block.

    Raises:
        RuntimeError: it does not wait for the disk, so its figures would mean nothing.
    """
    place = _private_place()
    try:
        async with EmbeddedServices(place / "state") as services:
            url = await services.start_postgres()
            (pid,) = (each.pid for each in await services.status() if each.name == "postgres")
            assert pid is not None
            yield Database(url, pid, await _facts(url))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _private_place() -> Path:
    place = Path(tempfile.mkdtemp(prefix="oqb-"))
    place.chmod(0o711)  # PostgreSQL does not run as root, and must get to its data
    return place


async def _facts(url: str) -> dict[str, str]:
    connection = await asyncpg.connect(url)
    try:
        facts = {
            name: str(await connection.fetchval(f"show {name}"))
            for name in ("server_version", "fsync", "synchronous_commit")
        }
    finally:
        await connection.close()
    if (facts["fsync"], facts["synchronous_commit"]) != ("on", "on"):
        raise RuntimeError(f"PostgreSQL does not wait for the disk: {facts}")
    return facts


@asynccontextmanager
async def tally_folder() -> AsyncIterator[str]:
    """Give a folder in memory for the tallies of steps."""
    with tempfile.TemporaryDirectory(prefix="oqb-", dir=_IN_MEMORY) as folder:
        yield folder
