"""How fast one process puts messages in.

One coroutine that awaits each send; a plain thread that waits for each; a hundred coroutines that
each await theirs; lists of a thousand. Beside them what redis-py itself takes for a PING, for a
push of one message that is already encoded, and for a thousand that are encoded and pushed by one
command.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import orjson
from redis.asyncio import Redis

from bench.bare_loop import LIST
from bench.harness import Bench, Figure, Ratio, Scenario, Side
from bench.load import BATCH, fill, payloads, producer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_ONE_BY_ONE = 4_000
_COROUTINES = 100
_FROM_A_THREAD = 2_000
_BULK = 20_000
_CONNECTING = 20
"""Messages before the time is taken, so that the connection is there."""


async def one_by_one(bench: Bench, count: int = _ONE_BY_ONE) -> Mapping[str, float]:
    """Await each send."""
    async with producer(bench.server.url) as actors:
        await _repeat(_CONNECTING, actors.noop.asend)
        return await _timed(count, lambda: _repeat(count, actors.noop.asend))


async def from_a_thread(bench: Bench) -> Mapping[str, float]:
    """Send from a thread that has no event loop, and wait for each."""
    async with producer(bench.server.url) as actors:

        def send(count: int) -> None:
            for _ in range(count):
                actors.noop.send()

        await asyncio.to_thread(send, _CONNECTING)
        return await _timed(_FROM_A_THREAD, lambda: asyncio.to_thread(send, _FROM_A_THREAD))


async def concurrently(bench: Bench) -> Mapping[str, float]:
    """Await each send in a hundred coroutines."""
    async with producer(bench.server.url) as actors:
        each = bench.messages // _COROUTINES

        async def send() -> None:
            await asyncio.gather(*(_repeat(each, actors.noop.asend) for _ in range(_COROUTINES)))

        return await _timed(each * _COROUTINES, send)


async def in_bulk(bench: Bench) -> Mapping[str, float]:
    """Build and send lists of a thousand messages."""
    async with producer(bench.server.url) as actors:
        await fill(actors.noop, _CONNECTING)
        return await _timed(_BULK, lambda: fill(actors.noop, _BULK))


async def ping(bench: Bench, count: int = _ONE_BY_ONE) -> Mapping[str, float]:
    """Await each PING."""
    async with Redis.from_url(bench.server.url) as redis:
        await _repeat(_CONNECTING, redis.ping)
        return await _timed(count, lambda: _repeat(count, redis.ping))


async def push_one(bench: Bench) -> Mapping[str, float]:
    """Await each push of one encoded message."""
    async with producer(bench.server.url) as actors:
        (payload,) = payloads(actors.noop, 1)
    async with Redis.from_url(bench.server.url) as redis:
        return await _timed(
            _ONE_BY_ONE, lambda: _repeat(_ONE_BY_ONE, lambda: redis.lpush(LIST, payload))
        )


async def push_many(bench: Bench) -> Mapping[str, float]:
    """Encode and push a thousand messages by one command."""
    fields = {
        "queue_name": "bench",
        "actor_name": "noop",
        "args": [],
        "kwargs": {},
        "options": {},
        "message_timestamp": time.time_ns() // 1_000_000,
    }
    header = bytes(32)
    async with Redis.from_url(bench.server.url) as redis:

        async def push() -> None:
            for _ in range(_BULK // BATCH):
                await redis.rpush(LIST, *(header + orjson.dumps(fields) for _ in range(BATCH)))

        return await _timed(_BULK, push)


async def _repeat(times: int, action: Callable[[], Awaitable[object]]) -> None:
    for _ in range(times):
        await action()


async def _timed(count: int, action: Callable[[], Awaitable[object]]) -> dict[str, float]:
    began, cpu_began = time.monotonic(), time.process_time()
    await action()
    seconds, cpu_seconds = time.monotonic() - began, time.process_time() - cpu_began
    return {"per second": count / seconds, "producer CPU µs": cpu_seconds / count * 1e6}


ONE, CONCURRENT, BULK = "asend, awaited one by one", "asend, 100 coroutines", "asend_many of 1,000"
SYNC = "send, in a plain thread"
PING, PUSH_ONE, PUSH_MANY = "bare PING", "bare LPUSH of one", "bare RPUSH of 1,000"

SCENARIO = Scenario(
    name="enqueue",
    question="messages put in by one process",
    figures=(Figure("per second", better="more"), Figure("producer CPU µs", 1, better="less")),
    sides=(
        Side(ONE, one_by_one),
        Side(SYNC, from_a_thread),
        Side(PUSH_ONE, push_one),
        Side(PING, ping),
        Side(CONCURRENT, concurrently),
        Side(BULK, in_bulk),
        Side(PUSH_MANY, push_many),
    ),
    ratios=(
        Ratio(ONE, PUSH_ONE, "per second"),
        Ratio(ONE, PING, "per second"),
        Ratio(CONCURRENT, PUSH_ONE, "per second"),
        Ratio(BULK, PUSH_MANY, "per second"),
    ),
)
