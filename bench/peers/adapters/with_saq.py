"""saq: uvloop, results forgotten at once, no timeout a job."""

# pyright: reportMissingImports=false

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvloop
from redis.asyncio import Redis
from saq import Worker
from saq.queue.redis import RedisQueue

from bench.peers.play import Order, Post, bodies, play_async, ready

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def noop(_ctx: Any) -> None:  # noqa: ANN401 - what saq hands over has no narrower type
    """Do nothing."""
    bodies().noop()


async def nap(_ctx: Any) -> None:  # noqa: ANN401 - what saq hands over has no narrower type
    """Wait."""
    await bodies().nap()


async def stamp(_ctx: Any, *, due_ns: int) -> None:  # noqa: ANN401 - as above
    """Note when this began."""
    bodies().stamp(due_ns)


async def work(order: Order) -> None:
    """Run a worker."""
    queue = RedisQueue(Redis.from_url(order.wide_url))
    await queue.connect()
    worker: Worker[Any] = Worker(
        queue, functions=[noop, nap, stamp], concurrency=order.number("concurrency")
    )
    ready()
    await worker.start()


@asynccontextmanager
async def post(order: Order) -> AsyncIterator[Post]:
    """Give a sender."""
    queue = RedisQueue(Redis.from_url(order.wide_url))
    await queue.connect()

    async def send(task: str, arguments: tuple[Any, ...], *, urgent: bool) -> None:
        del urgent  # it has no priorities on Redis
        named = {"due_ns": arguments[0]} if arguments else {}
        await queue.enqueue(task, timeout=0, ttl=-1, **named)

    yield Post(send)
    await queue.disconnect()


if __name__ == "__main__":
    play_async(work, post, run=uvloop.run)
