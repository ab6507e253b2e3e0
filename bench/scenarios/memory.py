"""What a waiting message costs in Redis, and what an idle process costs.

Beside it the same bytes in one list, and the process of the bare loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.asyncio import Redis

from bench.bare_loop import LIST
from bench.child import Child
from bench.harness import Bench, Figure, Ratio, Scenario, Side
from bench.load import BATCH, fill, payloads, producer

if TYPE_CHECKING:
    from collections.abc import Mapping

_MEBIBYTE = 1 << 20


async def ours(bench: Bench) -> Mapping[str, float]:
    """Queue messages; then start a worker that has nothing to do."""
    async with producer(bench.server.url) as actors:
        await fill(actors.noop, 1)
        before = await bench.server.memory_bytes()
        await fill(actors.noop, bench.messages)
        each = (await bench.server.memory_bytes() - before) / bench.messages
    await bench.server.clear()
    return {"Redis bytes a message": each, "idle process MiB": await _idle(bench, "bench.worker")}


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
    return {
        "Redis bytes a message": each,
        "payload bytes": len(batches[0][0]),
        "idle process MiB": await _idle(bench, "bench.bare_loop"),
    }


async def _idle(bench: Bench, module: str) -> float:
    async with Child(module, what="serve", url=bench.server.url, stamps=1) as child:
        await child.expect("ready")
        return child.resident_bytes() / _MEBIBYTE


SCENARIO = Scenario(
    name="memory",
    question="Redis memory of a waiting no-op message; resident memory of an idle process",
    figures=(
        Figure("Redis bytes a message", 1),
        Figure("payload bytes"),
        Figure("idle process MiB", 1),
    ),
    sides=(Side("octoqueue", ours), Side("bare", bare)),
    ratios=(
        Ratio("octoqueue", "bare", "Redis bytes a message"),
        Ratio("octoqueue", "bare", "idle process MiB"),
    ),
)
