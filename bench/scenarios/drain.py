"""How fast worker processes empty a queue of messages that do nothing.

Ours: 100 slots a process, 10 partitions, three lanes, retries on, counters on, results off,
heartbeat, promoter and reclaimer running; async actors in one and in two processes, and a sync
actor, which runs in threads. Beside it the bare loop. All are processes of their own, warm, and
measured from their first claim to their last ack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.asyncio import Redis

from bench.bare_loop import LIST, WARM_LIST
from bench.draining import FIGURES, drained, kept
from bench.harness import Bench, Ratio, Scenario, Side
from bench.load import BATCH, QUEUE, WARM_MESSAGES, fill, payloads, producer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.load import Actors
    from octoqueue.broker.actors import Actor


def noop(actors: Actors) -> Actor[[], None]:
    """Run on the loop."""
    return actors.noop


def noop_in_thread(actors: Actors) -> Actor[[], None]:
    """Run in threads."""
    return actors.noop_in_thread


async def drain_ours(
    bench: Bench, choose: Callable[[Actors], Actor[[], None]] = noop, *, processes: int = 1
) -> Mapping[str, float]:
    """Drain with workers, and see that the store counted what was run."""
    # A sync actor gets processes of its own: threads that stay would cost the others.
    order = {"what": "drain", "of": choose.__name__}
    workers = await kept(bench, "bench.worker", processes=processes, **order)
    async with producer(bench.server.url) as actors:
        await fill(choose(actors), bench.messages)
        figures = await drained(bench, workers, bench.messages)
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
        loops = await kept(bench, "bench.bare_loop", what="drain")
        figures = await drained(bench, loops, bench.messages)
        assert not await redis.exists(LIST)
    return figures


async def drain_with_two(bench: Bench) -> Mapping[str, float]:
    """Drain with two worker processes."""
    return await drain_ours(bench, processes=2)


async def drain_in_threads(bench: Bench) -> Mapping[str, float]:
    """Drain messages of a sync actor."""
    return await drain_ours(bench, noop_in_thread)


OURS, TWO, SYNC, BARE = "octoqueue", "octoqueue, 2 processes", "octoqueue, sync actor", "bare loop"

SCENARIO = Scenario(
    name="drain",
    question="no-op messages drained, 100 at a time",
    figures=FIGURES,
    sides=(
        Side(OURS, drain_ours),
        Side(BARE, drain_bare),
        Side(TWO, drain_with_two),
        Side(SYNC, drain_in_threads),
    ),
    ratios=(
        Ratio(OURS, BARE, "messages/s"),
        Ratio(OURS, BARE, "worker CPU µs"),
        Ratio(TWO, OURS, "messages/s"),
        Ratio(SYNC, OURS, "messages/s"),
    ),
)
