"""The process that starts workflows of ours, and waits until they have ended.

How many have ended it reads in the tally of third steps, which costs nothing, and at last in the
table. It keeps a bounded number of them open, as any intake does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

import asyncpg
import uvloop

from bench.child import order, say, told
from bench.open_loop import send_by_thread
from bench.peers.flows import FOLDER, counted

ORDER = order()
os.environ.update(ORDER["env"])

import octoqueue  # noqa: E402 - it reads the environment
from bench.engines import app  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPEN = 500
_AT_ONCE = 100
_LOOK_AGAIN_SECONDS = 0.005


class Client:
    """What the parent may order."""

    def __init__(self, tables: asyncpg.Connection[asyncpg.Record]) -> None:
        self._folder = ORDER["env"][FOLDER]
        self._tables = tables

    async def drain(self, *, count: int, prefix: str) -> dict[str, Any]:
        """Run so many workflows to their end, as fast as it goes."""
        began, cpu_began = time.monotonic(), time.process_time()
        before = counted(self._folder, "third")
        started = 0
        while (ran := counted(self._folder, "third") - before) < count:
            room = min(_OPEN - (started - ran), _AT_ONCE, count - started)
            if room > 0:
                numbers = range(started, started + room)
                await asyncio.gather(*(app.three.start(id=f"{prefix}{n}") for n in numbers))
                started += room
            else:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        await self._until(prefix, "completed", count)
        return {
            "seconds": time.monotonic() - began,
            "cpu_seconds": time.process_time() - cpu_began,
        }

    async def paced(self, *, due_ns: Sequence[int], prefix: str) -> dict[str, Any]:
        """Start workflows when they are due; return when, and the notes of their steps."""
        origin_ns = time.monotonic_ns() + 50_000_000
        moments_ns = [origin_ns + moment_ns for moment_ns in due_ns]

        async def run(moment_ns: int) -> None:
            await app.three.start(id=f"{prefix}{moment_ns}")

        await send_by_thread(moments_ns, run)
        await self._until(prefix, "completed", len(moments_ns))
        handles = [app.three.handle_of(f"{prefix}{moment_ns}") for moment_ns in moments_ns]
        return {
            "due_ns": moments_ns,
            "notes": [await handle.result() for handle in handles],
        }

    async def wait(self, *, count: int, prefix: str) -> dict[str, Any]:
        """Start workflows that wait for a signal."""
        for first in range(0, count, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, count))
            await asyncio.gather(*(app.waits.start(id=f"{prefix}{n}") for n in numbers))
        await self._until(prefix, "running", count)
        return {}

    async def end(self, *, count: int, prefix: str) -> dict[str, Any]:
        """Send those that wait their signal, and see them to their end."""
        for first in range(0, count, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, count))
            await asyncio.gather(
                *(app.waits.handle_of(f"{prefix}{n}").signal("go", "on") for n in numbers)
            )
        await self._until(prefix, "completed", count)
        return {}

    async def hold(self, *, count: int, prefix: str, second: int) -> dict[str, Any]:
        """Start workflows whose second step waits; return when all are there."""
        for first in range(0, count, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, count))
            await asyncio.gather(*(app.three_held.start(id=f"{prefix}{n}") for n in numbers))
        while counted(self._folder, "second") < second:  # noqa: ASYNC110 - a tally rings no bell
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        return {}

    async def _until(self, prefix: str, status: str, count: int) -> None:
        while await self._count(prefix, status) < count:  # noqa: ASYNC110 - a table rings no bell
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _count(self, prefix: str, status: str) -> int:
        found: int = await self._tables.fetchval(
            "select count(*) from workflow_executions where workflow_id like $1 and status = $2",
            f"{prefix}%",
            status,
        )
        return found


async def obey() -> None:
    """Do what is told until the parent has gone."""
    tables = await asyncpg.connect(os.environ["OCTOQUEUE_POSTGRES_URL"])
    client = Client(tables)
    async with octoqueue.WorkflowClient.connected():
        while True:
            say("ready")
            facts = await told()
            say("done", **await getattr(client, facts.pop("what"))(**facts))


def main() -> None:
    """Run until the parent has gone."""
    with contextlib.suppress(EOFError):
        uvloop.run(obey())


if __name__ == "__main__":
    main()
