"""The bare loop, as the limit; and redis-py's own PING, as the limit of sending one by one."""

from __future__ import annotations

import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import uvloop
from redis.asyncio import Redis

from bench import bare_loop
from bench.peers.play import Order, Post, bodies, play_async, ready

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_BATCH = 1_000
_HEADER = bytes(32)


async def noop() -> None:
    """Do nothing."""
    bodies().noop()


async def work(order: Order) -> None:
    """Drain the list for ever."""
    bare_loop.ACTORS["noop"] = noop
    async with Redis.from_url(order.url) as redis:
        ready()
        await bare_loop.drain_list(redis, bare_loop.LIST, sys.maxsize)


@asynccontextmanager
async def post(order: Order) -> AsyncIterator[Post]:
    """Give what pushes messages of the same size, or what pings."""
    fields = {
        "queue_name": "bench",
        "actor_name": "noop",
        "args": [],
        "kwargs": {},
        "options": {},
        "message_timestamp": time.time_ns() // 1_000_000,
    }
    async with Redis.from_url(order.url) as redis:

        def payload(number: int) -> bytes:
            head = bytearray(_HEADER)
            head[16:24] = number.to_bytes(8)
            return bytes(head) + orjson.dumps(fields)

        async def send(_task: str, _arguments: tuple[Any, ...], *, urgent: bool) -> None:
            del urgent  # it has no priorities
            if order.facts.get("ping"):
                await redis.ping()
            else:
                await redis.rpush(bare_loop.LIST, payload(0))

        async def bulk(_task: str, count: int) -> None:
            for first in range(0, count, _BATCH):
                numbers = range(first, min(first + _BATCH, count))
                await redis.rpush(bare_loop.LIST, *map(payload, numbers))

        yield Post(send, bulk)


if __name__ == "__main__":
    play_async(work, post, run=uvloop.run)
