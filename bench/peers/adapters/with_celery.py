"""celery: threads (its prefork pool is slower here), results off, no gossip, mingle, heartbeat.

Messages are acknowledged before they run, as is its default: a killed worker loses them.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery import Celery

from bench.peers.play import Order, Post, bodies, ordered, play, ready

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = Celery("bench", broker=f"redis+socket://{ordered().socket}")
APP.conf.update(
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_prefetch_multiplier=ordered().number("prefetch", 4),
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "queue_order_strategy": "priority",
        "priority_steps": [0, 9],
        "sep": ":",
    }
    if ordered().facts.get("priorities")
    else {},
)


@APP.task(name="noop")
def noop() -> None:
    """Do nothing."""
    bodies().noop()


@APP.task(name="nap")
def nap() -> None:
    """Wait."""
    bodies().nap_in_thread()


@APP.task(name="stamp")
def stamp(due_ns: int) -> None:
    """Note when this began."""
    bodies().stamp(due_ns)


@APP.task(name="spin")
def spin(urgent: bool) -> None:  # noqa: FBT001 - arguments travel by position
    """Burn CPU."""
    bodies().spin(urgent=urgent)


TASKS = {"noop": noop, "sync_noop": noop, "nap": nap, "stamp": stamp, "spin": spin}


def work(order: Order) -> None:
    """Run a worker."""
    worker = APP.Worker(
        pool="threads",
        concurrency=order.number("threads"),
        loglevel="ERROR",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    ready()
    worker.start()


@contextmanager
def post(order: Order) -> Iterator[Post]:
    """Give a sender."""
    ranked = order.facts.get("priorities", False)

    def send(task: str, arguments: tuple[Any, ...], *, urgent: bool) -> None:
        if ranked:
            TASKS[task].apply_async(arguments, priority=0 if urgent else 9)
        else:
            TASKS[task].apply_async(arguments)

    yield Post(send)


if __name__ == "__main__":
    play(work, post)
