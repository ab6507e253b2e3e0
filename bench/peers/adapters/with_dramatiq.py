"""dramatiq: its own broker and worker, with the middleware it has by default."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.worker import Worker

from bench.peers.play import Order, Post, bodies, ordered, play, ready

if TYPE_CHECKING:
    from collections.abc import Iterator

BROKER = RedisBroker(url=ordered().wide_url)
dramatiq.set_broker(BROKER)


@dramatiq.actor(queue_name="bench")
def noop() -> None:
    """Do nothing."""
    bodies().noop()


@dramatiq.actor(queue_name="bench")
def nap() -> None:
    """Wait."""
    bodies().nap_in_thread()


@dramatiq.actor(queue_name="bench")
def stamp(due_ns: int) -> None:
    """Note when this began."""
    bodies().stamp(due_ns)


@dramatiq.actor(queue_name="bench", priority=100)
def spin(urgent: bool) -> None:  # noqa: FBT001 - arguments travel by position
    """Burn CPU."""
    bodies().spin(urgent=urgent)


@dramatiq.actor(queue_name="urgent", priority=0)
def spin_urgent(urgent: bool) -> None:  # noqa: FBT001 - arguments travel by position
    """Burn CPU, in a queue of its own: priorities hold among what a worker has fetched."""
    bodies().spin(urgent=urgent)


ACTORS: dict[str, dramatiq.Actor[..., None]] = {
    "noop": noop,
    "sync_noop": noop,
    "nap": nap,
    "stamp": stamp,
    "spin": spin,
}


def work(order: Order) -> None:
    """Start a worker; it has threads of its own."""
    worker = Worker(BROKER, worker_threads=order.number("threads"))
    if "prefetch" in order.facts:
        worker.queue_prefetch = order.number("prefetch")  # what dramatiq_queue_prefetch sets
    ready()
    worker.start()
    threading.Event().wait()


@contextmanager
def post(_order: Order) -> Iterator[Post]:
    """Give a sender."""

    def send(task: str, arguments: tuple[Any, ...], *, urgent: bool) -> None:
        actor = spin_urgent if urgent else ACTORS[task]
        actor.send(*arguments)

    yield Post(send)


if __name__ == "__main__":
    play(work, post)
