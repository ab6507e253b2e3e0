"""streaq: uvloop, results off, no log line a task."""

# pyright: reportMissingImports=false

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvloop
from streaq import Worker

from bench.peers.play import Order, Post, bodies, ordered, play_async, ready

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WORKER: Worker[None] = Worker(
    redis_url=ordered().url,
    concurrency=ordered().number("concurrency", 100),
    prefetch=ordered().number("prefetch", 100),
    priorities=["low", "high"],
    handle_signals=False,
)
_BATCH = 1_000


@WORKER.task(ttl=0, silent=True)
async def noop() -> None:
    """Do nothing."""
    bodies().noop()


@WORKER.task(ttl=0, silent=True)
def sync_noop() -> None:
    """Do nothing, in a thread."""
    bodies().noop()


@WORKER.task(ttl=0, silent=True)
async def nap() -> None:
    """Wait."""
    await bodies().nap()


@WORKER.task(ttl=0, silent=True)
async def stamp(due_ns: int) -> None:
    """Note when this began."""
    bodies().stamp(due_ns)


@WORKER.task(ttl=0, silent=True)
async def spin(urgent: bool) -> None:  # noqa: FBT001 - arguments travel by position
    """Burn CPU."""
    bodies().spin(urgent=urgent)


TASKS = {"noop": noop, "sync_noop": sync_noop, "nap": nap, "stamp": stamp, "spin": spin}


async def work(_order: Order) -> None:
    """Run the worker."""
    ready()
    await WORKER.run_async()


@asynccontextmanager
async def post(_order: Order) -> AsyncIterator[Post]:
    """Give a sender."""
    async with WORKER:

        async def send(task: str, arguments: tuple[Any, ...], *, urgent: bool) -> None:
            await TASKS[task].enqueue(*arguments).start(priority="high" if urgent else "low")

        async def bulk(task: str, count: int) -> None:
            for first in range(0, count, _BATCH):
                batch = min(_BATCH, count - first)
                await WORKER.enqueue_many([TASKS[task].enqueue() for _ in range(batch)])

        yield Post(send, bulk)


if __name__ == "__main__":
    play_async(work, post, run=uvloop.run)
