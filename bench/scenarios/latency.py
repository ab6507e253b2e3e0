"""How soon after it was due a message begins, on a worker with nothing else to do.

An open loop: 300 messages a second are due at moments fixed beforehand, whatever became of those
before, and each is measured from that moment. A late sender and a slow enqueue count, so nothing is
left out by waiting politely. Beside it a process that pops one message after the other.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import orjson
from redis.asyncio import BlockingConnectionPool, Redis

from bench.bare_loop import LIST
from bench.child import Child
from bench.figures import arrivals_ns, percentile
from bench.harness import Bench, Figure, Ratio, Scenario, Side
from bench.load import producer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_PER_SECOND = 300
_MESSAGES = 900
_HEAD_START_NS = 50_000_000
_CONNECTIONS = 20
"""Of the bare sender, as many as ours has: when the machine stalls, sends wait and do not fail."""


async def through_ours(bench: Bench) -> Mapping[str, float]:
    """Send with `asend` to a worker."""
    async with producer(bench.server.url) as actors:
        return await _measured(bench, "bench.worker", actors.stamp.asend)


async def through_bare(bench: Bench) -> Mapping[str, float]:
    """Push to a process that pops."""
    pool = BlockingConnectionPool.from_url(
        bench.server.url, max_connections=_CONNECTIONS, timeout=None
    )
    async with Redis.from_pool(pool) as redis:

        async def push(due_ns: int) -> None:
            await redis.rpush(LIST, orjson.dumps({"actor_name": "stamp", "args": [due_ns]}))

        return await _measured(bench, "bench.bare_loop", push)


async def _measured(
    bench: Bench, module: str, send: Callable[[int], Awaitable[Any]]
) -> dict[str, float]:
    async with Child(module, what="serve", url=bench.server.url, stamps=_MESSAGES) as child:
        await child.expect("ready")
        sender_late_ns = await _open_loop(send)
        late_ns = (await child.expect("stamped"))["late_ns"]
        child.go_on()
    return {
        "P50 ms": percentile(late_ns, 0.50) / 1e6,
        "P99 ms": percentile(late_ns, 0.99) / 1e6,
        "max ms": max(late_ns) / 1e6,
        "of which sender P50 ms": percentile(sender_late_ns, 0.50) / 1e6,
    }


async def _open_loop(send: Callable[[int], Awaitable[Any]]) -> list[int]:
    """Send each message when it is due; return by how much each send began late.

    A thread keeps the time: the timers of an event loop are only good to a millisecond.
    """
    loop = asyncio.get_running_loop()
    sends: list[asyncio.Future[Any]] = []
    late_ns: list[int] = []

    def launch(due_ns: int) -> None:
        late_ns.append(time.monotonic_ns() - due_ns)
        sends.append(asyncio.ensure_future(send(due_ns)))

    def keep_time() -> None:
        start_ns = time.monotonic_ns() + _HEAD_START_NS
        for due_ns in arrivals_ns(start_ns=start_ns, per_second=_PER_SECOND, count=_MESSAGES):
            time.sleep(max(due_ns - time.monotonic_ns(), 0) / 1e9)
            loop.call_soon_threadsafe(launch, due_ns)

    await asyncio.to_thread(keep_time)
    await asyncio.gather(*sends)
    return late_ns


SCENARIO = Scenario(
    name="latency",
    question=f"from due to begun on an idle worker, open loop, {_PER_SECOND} a second",
    figures=(
        Figure("P50 ms", 2),
        Figure("P99 ms", 2),
        Figure("max ms", 1),
        Figure("of which sender P50 ms", 2),
    ),
    sides=(Side("octoqueue", through_ours), Side("bare BLPOP", through_bare)),
    ratios=(Ratio("octoqueue", "bare BLPOP", "P50 ms"), Ratio("octoqueue", "bare BLPOP", "P99 ms")),
)
