"""octoqueue: a worker wired as `octoqueue worker` wires it, in the environment of this project."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvloop

import octoqueue
from bench.load import OPTIONS
from bench.peers.play import Order, Post, bodies, ordered, play_async, ready
from octoqueue.maintenance.promoter import Promoter
from octoqueue.maintenance.reclaimer import Reclaimer
from octoqueue.primitives.service import ServiceGroup
from octoqueue.runtime.worker import Worker, WorkerOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_QUEUE = "bench"
_BATCH = 1_000
BROKER = octoqueue.LaneBroker(ordered().url, options=OPTIONS)


@octoqueue.actor(queue=_QUEUE, broker=BROKER)
async def noop() -> None:
    """Do nothing."""
    bodies().noop()


@octoqueue.actor(queue=_QUEUE, broker=BROKER)
def sync_noop() -> None:
    """Do nothing, in a thread."""
    bodies().noop()


@octoqueue.actor(queue=_QUEUE, broker=BROKER)
async def nap() -> None:
    """Wait."""
    await bodies().nap()


@octoqueue.actor(queue=_QUEUE, broker=BROKER)
async def stamp(due_ns: int) -> None:
    """Note when this began."""
    bodies().stamp(due_ns)


@octoqueue.actor(queue=_QUEUE, broker=BROKER)
async def spin(urgent: bool) -> None:  # noqa: FBT001 - arguments travel by position
    """Burn CPU."""
    bodies().spin(urgent=urgent)


ACTORS: dict[str, octoqueue.Actor[..., Any]] = {
    actor.actor_name: actor for actor in (noop, sync_noop, nap, stamp, spin)
}


async def work(order: Order) -> None:
    """Run a worker."""
    async with BROKER.connected():
        store = BROKER.store()
        promoter = Promoter(store, [_QUEUE])
        worker = Worker(
            BROKER,
            WorkerOptions(queues=(_QUEUE,), concurrency=order.number("concurrency")),
            on_bell=promoter.nudge,
            on_work=promoter.stir,
        )
        async with ServiceGroup([promoter, Reclaimer(store)]):
            ready()
            await worker.run()


@asynccontextmanager
async def post(_order: Order) -> AsyncIterator[Post]:
    """Give a sender."""
    lanes = {
        (task, urgent): actor.using(lane="high" if urgent else "low")
        for task, actor in ACTORS.items()
        for urgent in (False, True)
        if task == "spin"
    }

    async def send(task: str, arguments: tuple[Any, ...], *, urgent: bool) -> None:
        actor = lanes.get((task, urgent))
        if actor is None:
            await ACTORS[task].asend(*arguments)
        else:
            await actor.asend(*arguments)

    async def bulk(task: str, count: int) -> None:
        actor = ACTORS[task]
        for first in range(0, count, _BATCH):
            messages = [actor.message() for _ in range(min(_BATCH, count - first))]
            await octoqueue.asend_many(messages, broker=BROKER)

    async with BROKER.connected():
        yield Post(send, bulk)


if __name__ == "__main__":
    play_async(work, post, run=uvloop.run)
