"""How soon after it was due a message begins, on a worker with nothing else to do.

An open loop of 300 messages a second (`bench.open_loop`). Beside it a process that pops one message
after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from redis.asyncio import BlockingConnectionPool, Redis

from bench.bare_loop import LIST
from bench.figures import evenly_ns
from bench.harness import Bench, Ratio, Scenario, Side
from bench.load import producer
from bench.open_loop import FIGURES, send_by_thread, serving, stamped

if TYPE_CHECKING:
    from collections.abc import Mapping

_PER_SECOND = 300
_MESSAGES = 600
_MOMENTS_NS = evenly_ns(per_second=_PER_SECOND, count=_MESSAGES)
_CONNECTIONS = 20
"""Of the bare sender, as many as ours has: when the machine stalls, sends wait and do not fail."""


async def through_ours(bench: Bench) -> Mapping[str, float]:
    """Send with `asend` to a worker."""
    async with serving(bench, "bench.worker") as worker, producer(bench.server.url) as actors:
        return await stamped(worker, actors.stamp.asend, moments_ns=_MOMENTS_NS, how=send_by_thread)


async def through_bare(bench: Bench) -> Mapping[str, float]:
    """Push to a process that pops."""
    pool = BlockingConnectionPool.from_url(
        bench.server.url, max_connections=_CONNECTIONS, timeout=None
    )
    async with serving(bench, "bench.bare_loop") as loop, Redis.from_pool(pool) as redis:

        async def push(due_ns: int) -> None:
            await redis.rpush(LIST, orjson.dumps({"actor_name": "stamp", "args": [due_ns]}))

        return await stamped(loop, push, moments_ns=_MOMENTS_NS, how=send_by_thread)


SCENARIO = Scenario(
    name="latency",
    question=f"from due to begun on an idle worker, open loop, {_PER_SECOND} a second",
    figures=FIGURES,
    sides=(Side("octoqueue", through_ours), Side("bare BLPOP", through_bare)),
    ratios=(Ratio("octoqueue", "bare BLPOP", "P50 ms"), Ratio("octoqueue", "bare BLPOP", "P99 ms")),
)
