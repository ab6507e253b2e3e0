"""taskiq: the list broker or the stream broker, orjson, uvloop, no results, no validation.

The list broker loses what a killed worker had fetched; the stream broker acknowledges.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvloop
from taskiq.api import run_receiver_task
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListQueueBroker, RedisStreamBroker

from bench.peers.play import Order, Post, bodies, ordered, play_async, ready

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BROKER = (RedisStreamBroker if ordered().facts.get("stream") else ListQueueBroker)(
    url=ordered().wide_url
).with_serializer(ORJSONSerializer())


@BROKER.task
async def noop() -> None:
    """Do nothing."""
    bodies().noop()


@BROKER.task
def sync_noop() -> None:
    """Do nothing, in a thread."""
    bodies().noop()


@BROKER.task
async def nap() -> None:
    """Wait."""
    await bodies().nap()


@BROKER.task
async def stamp(due_ns: int) -> None:
    """Note when this began."""
    bodies().stamp(due_ns)


TASKS = {"noop": noop, "sync_noop": sync_noop, "nap": nap, "stamp": stamp}


async def work(order: Order) -> None:
    """Run a receiver."""
    BROKER.is_worker_process = True
    await BROKER.startup()
    ready()
    concurrency = order.number("concurrency")
    await run_receiver_task(
        BROKER,
        max_async_tasks=concurrency,
        max_prefetch=concurrency,
        sync_workers=8,
        validate_params=False,
    )


@asynccontextmanager
async def post(_order: Order) -> AsyncIterator[Post]:
    """Give a sender."""
    await BROKER.startup()

    async def send(task: str, arguments: tuple[Any, ...], *, urgent: bool) -> None:
        del urgent  # it has no priorities
        await TASKS[task].kiq(*arguments)

    yield Post(send)
    await BROKER.shutdown()


if __name__ == "__main__":
    play_async(work, post, run=uvloop.run)
