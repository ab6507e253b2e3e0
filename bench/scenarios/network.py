"""How much is left behind a network: what the other scenarios measure, through a delaying proxy.

A proxy (`bench.proxy`) between all clients and Redis makes a round trip take a millisecond, as
between two zones of a cloud, and once takes nothing, to show what the proxy itself costs.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from bench.child import Child
from bench.harness import Bench, Figure, Ratio, Scenario, Side
from bench.scenarios import drain, enqueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from bench.server import Server

_ROUND_TRIP_MS = 1.0
_SENDS = 200
_PINGS = 100
_UNIX = "unix://"


async def far(bench: Bench, round_trip_ms: float) -> Bench:
    """Return the same bench with a server that is so far away."""

    @asynccontextmanager
    async def started() -> AsyncIterator[Server]:
        path = bench.server.url.removeprefix(_UNIX)
        async with Child("bench.proxy", unix_path=path, round_trip_ms=round_trip_ms) as child:
            port = (await child.expect("ready"))["port"]
            yield bench.server.reached_by(f"redis://127.0.0.1:{port}")

    server = await bench.stage.keep(f"{round_trip_ms} ms", started)
    return replace(bench, server=server)


def _drain(
    name: str, run: Callable[[Bench], Awaitable[Mapping[str, float]]], round_trip_ms: float
) -> Side:
    async def behind(bench: Bench) -> Mapping[str, float]:
        bench = await far(bench, round_trip_ms)
        figures = await run(bench)
        async with Redis.from_url(bench.server.url) as redis:
            pings: list[float] = []
            for _ in range(_PINGS):
                began = time.perf_counter()
                await redis.ping()
                pings.append(time.perf_counter() - began)
        return {
            _DRAINED: figures[_DRAINED],
            "worker CPU µs": figures["worker CPU µs"],
            "PING ms": median(pings) * 1e3,
        }

    return Side(name, behind)


def _send(name: str, run: Callable[[Bench, int], Awaitable[Mapping[str, float]]]) -> Side:
    async def behind(bench: Bench) -> Mapping[str, float]:
        return {_SENT: (await run(await far(bench, _ROUND_TRIP_MS), _SENDS))["per second"]}

    return Side(name, behind)


_DRAINED, _SENT = "messages/s", "sent/s"
OURS, BARE = "octoqueue", "bare loop"
OURS_NEAR, BARE_NEAR = "octoqueue, 0 ms", "bare loop, 0 ms"
ONE, PING = "asend, one by one", "redis-py PING"

SCENARIO = Scenario(
    name="network",
    question=f"drain and enqueue behind a network: {_ROUND_TRIP_MS:g} ms a round trip",
    figures=(
        Figure(_DRAINED, better="more"),
        Figure("worker CPU µs", 1, better="less"),
        Figure("PING ms", 2),
        Figure(_SENT, better="more"),
    ),
    sides=(
        _drain(OURS, drain.drain_ours, _ROUND_TRIP_MS),
        _drain(BARE, drain.drain_bare, _ROUND_TRIP_MS),
        _drain(OURS_NEAR, drain.drain_ours, 0.0),
        _drain(BARE_NEAR, drain.drain_bare, 0.0),
        _send(ONE, enqueue.one_by_one),
        _send(PING, enqueue.ping),
    ),
    ratios=(
        Ratio(OURS, BARE, _DRAINED),
        Ratio(OURS, OURS_NEAR, _DRAINED),
        Ratio(BARE, BARE_NEAR, _DRAINED),
        Ratio(ONE, PING, _SENT),
    ),
    most_rounds=2,
)
