"""arq: uvloop, results off, no log line a job, polling every 10 ms instead of 500."""

# pyright: reportMissingImports=false

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

from bench.peers.play import Order, Post, bodies, play_async, ready

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def noop(_ctx: dict[Any, Any]) -> None:
    """Do nothing."""
    bodies().noop()


async def nap(_ctx: dict[Any, Any]) -> None:
    """Wait."""
    await bodies().nap()


async def stamp(_ctx: dict[Any, Any], due_ns: int) -> None:
    """Note when this began."""
    bodies().stamp(due_ns)


async def work(order: Order) -> None:
    """Run a worker."""
    worker = Worker(
        functions=[noop, nap, stamp],
        redis_settings=RedisSettings(unix_socket_path=order.socket),
        max_jobs=order.number("concurrency"),
        poll_delay=0.01,
        keep_result=0,
        log_results=False,
        handle_signals=False,
    )
    ready()
    await worker.async_run()


@asynccontextmanager
async def post(order: Order) -> AsyncIterator[Post]:
    """Give a sender."""
    redis = await create_pool(RedisSettings(unix_socket_path=order.socket))

    async def send(task: str, arguments: tuple[Any, ...], *, urgent: bool) -> None:
        del urgent  # it has no priorities
        await redis.enqueue_job(task, *arguments)

    yield Post(send)
    await redis.aclose()


if __name__ == "__main__":
    play_async(work, post, run=uvloop.run)
