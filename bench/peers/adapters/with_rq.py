"""rq: a worker that does not fork for every job (its default does), results off."""

# pyright: reportMissingImports=false

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from redis import Redis
from rq import Queue, SimpleWorker

from bench.peers.play import Order, Post, bodies, play, ready

if TYPE_CHECKING:
    from collections.abc import Iterator


def noop() -> None:
    """Do nothing."""
    bodies().noop()


def nap() -> None:
    """Wait."""
    bodies().nap_in_thread()


def stamp(due_ns: int) -> None:
    """Note when this began."""
    bodies().stamp(due_ns)


def spin(urgent: bool) -> None:  # noqa: FBT001 - arguments travel by position
    """Burn CPU."""
    bodies().spin(urgent=urgent)


def work(order: Order) -> None:
    """Run a worker; it takes the queues in their order."""
    redis = Redis.from_url(order.url)
    worker = SimpleWorker([Queue("urgent", connection=redis), Queue(connection=redis)])
    ready()
    worker.work(logging_level="ERROR")


@contextmanager
def post(order: Order) -> Iterator[Post]:
    """Give a sender."""
    redis = Redis.from_url(order.url)
    plain, first = Queue(connection=redis), Queue("urgent", connection=redis)
    tasks = {
        task: f"bench.peers.adapters.with_rq.{task.removeprefix('sync_')}"
        for task in ("noop", "sync_noop", "nap", "stamp", "spin")
    }

    def send(task: str, arguments: tuple[Any, ...], *, urgent: bool) -> None:
        (first if urgent else plain).enqueue(tasks[task], args=arguments, result_ttl=0)

    def bulk(task: str, count: int) -> None:
        for first_of_batch in range(0, count, 1000):
            batch = min(1000, count - first_of_batch)
            plain.enqueue_many(
                [Queue.prepare_data(tasks[task], result_ttl=0) for _ in range(batch)]
            )

    yield Post(send, bulk)


if __name__ == "__main__":
    play(work, post)
