"""The private Redis everything is measured on, and what it has spent so far.

It is the embedded server as users get it: append-only file, synced every second, Unix socket.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from octoqueue.embedded.services import EmbeddedServices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LOOK_AGAIN_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Usage:
    """What the server has spent since it was started."""

    cpu_seconds: float
    commands: int
    """All, also those inside scripts."""
    script_calls: int

    def __sub__(self, earlier: Usage) -> Usage:
        """Return what was spent since `earlier`."""
        return Usage(
            self.cpu_seconds - earlier.cpu_seconds,
            self.commands - earlier.commands,
            self.script_calls - earlier.script_calls,
        )


class Server:
    """A Redis of our own."""

    def __init__(self, url: str, client: Redis) -> None:
        self.url = url
        self._client = client

    def reached_by(self, url: str) -> Server:
        """Return the same server under another url."""
        return Server(url, self._client)

    async def version(self) -> str:
        """Return the version of the server."""
        return str((await self._info("server"))["redis_version"])

    async def usage(self) -> Usage:
        """Return what the server has spent."""
        cpu, calls = await self._info("cpu"), await self._info("commandstats")
        scripts = calls.get("cmdstat_evalsha", {}).get("calls", 0)
        return Usage(
            cpu["used_cpu_user"] + cpu["used_cpu_sys"],
            sum(command["calls"] for command in calls.values()),
            scripts + calls.get("cmdstat_eval", {}).get("calls", 0),
        )

    async def memory_bytes(self) -> int:
        """Return the memory the server has allocated."""
        return int((await self._info("memory"))["used_memory"])

    async def clear(self) -> None:
        """Empty the server and its append-only file."""
        await self._client.flushall()
        await self._client.bgrewriteaof()
        while True:
            state = await self._info("persistence")
            if not (state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"]):
                return
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _info(self, section: str) -> dict[str, Any]:
        facts: dict[str, Any] = await self._client.info(section)
        return facts


@asynccontextmanager
async def private_server() -> AsyncIterator[Server]:
    """Run a private Redis for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="oqb-") as directory:
        async with EmbeddedServices(Path(directory)) as services:
            url = await services.start_redis()
            async with Redis.from_url(url) as client:
                # So that no rewrite falls into a measurement.
                await client.config_set("auto-aof-rewrite-percentage", 0)
                yield Server(url, client)
