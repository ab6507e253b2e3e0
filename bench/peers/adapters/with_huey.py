"""huey: its consumer with threads, blocking reads, no periodic tasks.

With priorities it keeps its queue in a sorted set instead of a list; only the scenario that needs
them pays for that.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from huey import PriorityRedisHuey, RedisHuey

from bench.peers.play import Order, Post, bodies, ordered, play, ready

if TYPE_CHECKING:
    from collections.abc import Iterator

HUEY = (PriorityRedisHuey if ordered().facts.get("priorities") else RedisHuey)(
    "bench", url=ordered().wide_url, results=False
)


@HUEY.task()
def noop() -> None:
    """Do nothing."""
    bodies().noop()


@HUEY.task()
def nap() -> None:
    """Wait."""
    bodies().nap_in_thread()


@HUEY.task()
def stamp(due_ns: int) -> None:
    """Note when this began."""
    bodies().stamp(due_ns)


@HUEY.task()
def spin(urgent: bool) -> None:  # noqa: FBT001 - arguments travel by position
    """Burn CPU."""
    bodies().spin(urgent=urgent)


TASKS = {"noop": noop, "sync_noop": noop, "nap": nap, "stamp": stamp, "spin": spin}


def work(order: Order) -> None:
    """Run a consumer."""
    consumer = HUEY.create_consumer(
        workers=order.number("threads"), worker_type="thread", periodic=False
    )
    ready()
    consumer.run()


@contextmanager
def post(_order: Order) -> Iterator[Post]:
    """Give a sender."""

    def send(task: str, arguments: tuple[Any, ...], *, urgent: bool) -> None:
        if urgent:
            HUEY.enqueue(TASKS[task].s(*arguments, priority=10))
        else:
            TASKS[task](*arguments)

    yield Post(send)


if __name__ == "__main__":
    play(work, post)
