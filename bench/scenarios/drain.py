"""How fast one worker process empties a queue of messages that do nothing.

Ours: 100 slots, 10 partitions, three lanes, retries on, counters on, results off, heartbeat,
promoter and reclaimer running. Beside it the bare loop. Both are processes of their own, warm, and
measured from their first claim to their last ack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from bench.bare_loop import LIST, WARM_LIST
from bench.child import Child
from bench.harness import Bench, Figure, Ratio, Scenario, Side
from bench.load import BATCH, QUEUE, WARM_MESSAGES, fill, payloads, producer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.server import Usage


async def drain_ours(bench: Bench) -> Mapping[str, float]:
    """Drain with a worker, and see that the store counted what was run."""
    async with producer(bench.server.url) as actors:
        await fill(actors.noop, bench.messages)
        figures = await _measured(bench, "bench.worker")
        stats = await actors.noop.lanes.store().stats(QUEUE)
    assert stats.counters["acked"] == stats.counters["claimed"] == bench.messages, stats
    assert stats.counters["runs"] == bench.messages, stats
    assert stats.waiting == stats.in_flight == stats.dead == stats.delayed == 0, stats
    return figures


async def drain_bare(bench: Bench) -> Mapping[str, float]:
    """Drain with the bare loop."""
    async with producer(bench.server.url) as ours, Redis.from_url(bench.server.url) as redis:
        for name, count in ((WARM_LIST, WARM_MESSAGES), (LIST, bench.messages)):
            for first in range(0, count, BATCH):
                size = min(BATCH, count - first)
                await redis.rpush(name, *payloads(ours.noop, size))
        figures = await _measured(bench, "bench.bare_loop")
        assert not await redis.exists(LIST)
    return figures


async def _measured(bench: Bench, module: str) -> dict[str, float]:
    count = bench.messages
    async with Child(module, what="drain", url=bench.server.url, messages=count) as child:
        await child.expect("ready")
        before = await bench.server.usage()
        child.go_on()
        done = await child.expect("done")
        spent = await bench.server.usage() - before
    return _figures(done, spent, count)


def _figures(done: dict[str, Any], spent: Usage, count: int) -> dict[str, float]:
    return {
        "messages/s": count / done["seconds"],
        "worker CPU µs": done["cpu_seconds"] / count * 1e6,
        "Redis CPU µs": spent.cpu_seconds / count * 1e6,
        "Redis commands": spent.commands / count,
        "script calls": spent.script_calls / count,
    }


SCENARIO = Scenario(
    name="drain",
    question="no-op messages drained by one process, 100 at a time",
    figures=(
        Figure("messages/s"),
        Figure("worker CPU µs", 1),
        Figure("Redis CPU µs", 1),
        Figure("Redis commands", 2),
        Figure("script calls", 3),
    ),
    sides=(Side("octoqueue", drain_ours), Side("bare loop", drain_bare)),
    ratios=(
        Ratio("octoqueue", "bare loop", "messages/s"),
        Ratio("octoqueue", "bare loop", "worker CPU µs"),
    ),
)
