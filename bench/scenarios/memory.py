"""What a waiting message costs in Redis, and what a worker process costs, idle and full.

The worker is `octoqueue worker`, as users start it, outside of any project. Beside it the same
bytes in one list, and the process of the bare loop. Resident memory is what `ps` shows: shared
libraries count in full.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from redis.asyncio import Redis

import octoqueue
from bench.bare_loop import LIST
from bench.child import ROOT, Child, resident_bytes
from bench.harness import Bench, Figure, Ratio, Scenario, Side
from bench.holding import QUEUE, greet, hold
from bench.load import BATCH, OPTIONS, fill, payloads, producer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from octoqueue.primitives.messages import QueueStats

_MEBIBYTE = 1 << 20
_RUNNING = 1_000
_LOOK_AGAIN_SECONDS = 0.02
_QUIET_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0
_EACH, _IDLE, _FULL = "Redis bytes a message", "idle process MiB", f"{_RUNNING:,} running MiB"
_START = "start s"


async def ours(bench: Bench) -> Mapping[str, float]:
    """Queue messages; then start a worker that has nothing to do, and one that has its fill."""
    async with producer(bench.server.url) as actors:
        await fill(actors.noop, 1)
        before = await bench.server.memory_bytes()
        await fill(actors.noop, bench.messages)
        each = (await bench.server.memory_bytes() - before) / bench.messages
    await bench.server.clear()
    async with worker(bench) as (pid, start_seconds):
        idle = await settled_bytes(pid)
    await bench.server.clear()
    async with worker(bench, running=_RUNNING) as (pid, _):
        full = await settled_bytes(pid)
    return {
        _EACH: each,
        _IDLE: idle / _MEBIBYTE,
        _FULL: full / _MEBIBYTE,
        _START: start_seconds,
    }


@asynccontextmanager
async def worker(bench: Bench, *, running: int = 0) -> AsyncIterator[tuple[int, float]]:
    """Run `octoqueue worker` for the length of the block, holding so many messages.

    Gives its process id, and the seconds from its start until it had run a first message.
    """
    broker = octoqueue.LaneBroker(bench.server.url, options=OPTIONS)
    outside = {name: value for name, value in os.environ.items() if "OCTOQUEUE" not in name}
    with tempfile.TemporaryDirectory(prefix="oqb-") as directory:
        async with broker.connected():
            await octoqueue.asend_many([greet.message()], broker=broker)
            began = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "octoqueue", "worker", "bench.holding"),
                *(("--concurrency", str(running)) if running else ()),
                cwd=directory,
                env=outside | {"PYTHONPATH": str(ROOT), "OCTOQUEUE_REDIS_URL": bench.server.url},
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                await _until(broker, lambda stats: stats.counters.get("acked") == 1)
                start_seconds = time.monotonic() - began
                await octoqueue.asend_many([hold.message() for _ in range(running)], broker=broker)
                await _until(broker, lambda stats: stats.in_flight == running)
                yield process.pid, start_seconds
            finally:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
                await process.wait()


async def _until(broker: octoqueue.LaneBroker, is_so: Callable[[QueueStats], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not is_so(await broker.store().stats(QUEUE)):  # noqa: ASYNC110 - in another process
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)


async def settled_bytes(pid: int) -> int:
    """Return the memory of a process once it does nothing more."""
    before = -1
    while (spent := _cpu_ticks(pid)) != before:
        before = spent
        await asyncio.sleep(_QUIET_SECONDS)
    return resident_bytes(pid)


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def bare(bench: Bench) -> Mapping[str, float]:
    """Push the same payloads to one list; then start the bare loop."""
    async with producer(bench.server.url) as actors:
        batches = [payloads(actors.noop, BATCH) for _ in range(bench.messages // BATCH)]
    async with Redis.from_url(bench.server.url) as redis:
        await redis.rpush(LIST, b"first")
        before = await bench.server.memory_bytes()
        for batch in batches:
            await redis.rpush(LIST, *batch)
        each = (await bench.server.memory_bytes() - before) / (len(batches) * BATCH)
    await bench.server.clear()
    async with Child("bench.bare_loop", url=bench.server.url, what="serve") as child:
        await child.expect("ready")
        idle = await settled_bytes(child.pid)
    return {_EACH: each, "payload bytes": len(batches[0][0]), _IDLE: idle / _MEBIBYTE}


SCENARIO = Scenario(
    name="memory",
    question="Redis memory of a waiting no-op message; resident memory of a worker process",
    figures=(
        Figure(_EACH, 1, better="less"),
        Figure("payload bytes"),
        Figure(_IDLE, 1, better="less"),
        Figure(_FULL, 1, better="less"),
        Figure(_START, 2, better="less"),
    ),
    sides=(Side("octoqueue", ours), Side("bare", bare)),
    ratios=(Ratio("octoqueue", "bare", _EACH), Ratio("octoqueue", "bare", _IDLE)),
    most_rounds=2,
)
