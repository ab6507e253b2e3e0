"""The work of all scenarios: actors that do next to nothing, and a producer that sends them."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import octoqueue
from octoqueue.broker.translate import enqueue_from
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.envelope import Flag
from octoqueue.primitives.lane import Lane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from octoqueue.broker.actors import Actor

QUEUE = "bench"
WARM_QUEUE = "warm"
WARM_MESSAGES = 2_000
BATCH = 1_000
SPIN_NS = 1_000_000
SHORT_SPIN_NS = 200_000
NAP_SECONDS = 0.02

_WIDE = LaneBounds(high=10_000_000, normal=10_000_000, low=10_000_000)
OPTIONS = LaneOptions(default_bounds=_WIDE)
"""Defaults in everything, but lanes wide enough for the load."""


@dataclass(frozen=True, slots=True)
class Actors:
    """The actors of one broker."""

    warm: Actor[[], None]
    noop: Actor[[], None]
    noop_in_thread: Actor[[], None]
    nap: Actor[[], None]
    """Waits for 20 ms, as for an answer from somewhere."""
    stamp: Actor[[int], None]
    """Notes how long after `due_ns` it began."""
    stamp_and_spin: Actor[[int], None]
    """The same, and then burns 0.2 ms of CPU on the loop."""
    spin: Actor[[], None]
    """Burns a millisecond of CPU on the loop."""
    spin_in_thread: Actor[[], None]
    """Burns a millisecond of CPU in a thread."""


def actors_on(
    broker: octoqueue.LaneBroker,
    *,
    on_stamp: Callable[[int], None] = lambda _: None,
    on_spun: Callable[[str], None] = lambda _: None,
) -> Actors:
    """Declare the actors on `broker`.

    Args:
        broker: where.
        on_stamp: given the nanoseconds between due and begun.
        on_spun: given the lane of each spin that ends, in the thread it ran in.
    """

    @octoqueue.actor(queue=WARM_QUEUE, broker=broker)
    async def warm() -> None:
        pass

    @octoqueue.actor(queue=QUEUE, broker=broker)
    async def noop() -> None:
        pass

    @octoqueue.actor(queue=QUEUE, broker=broker)
    def noop_in_thread() -> None:
        pass

    @octoqueue.actor(queue=QUEUE, broker=broker)
    async def nap() -> None:
        await asyncio.sleep(NAP_SECONDS)

    @octoqueue.actor(queue=QUEUE, broker=broker)
    async def stamp(due_ns: int) -> None:
        on_stamp(time.monotonic_ns() - due_ns)

    @octoqueue.actor(queue=QUEUE, broker=broker)
    async def stamp_and_spin(due_ns: int) -> None:
        on_stamp(time.monotonic_ns() - due_ns)
        burn(SHORT_SPIN_NS)

    @octoqueue.actor(queue=QUEUE, broker=broker)
    async def spin() -> None:
        burn()
        on_spun(_lane())

    @octoqueue.actor(queue=QUEUE, broker=broker)
    def spin_in_thread() -> None:
        burn()
        on_spun(_lane())

    return Actors(warm, noop, noop_in_thread, nap, stamp, stamp_and_spin, spin, spin_in_thread)


def _lane() -> str:
    running = octoqueue.current_message()
    return "" if running is None else running.lane


def burn(cpu_ns: int = SPIN_NS) -> None:
    """Use up so much of this thread's CPU, a millisecond unless told."""
    end = time.thread_time_ns() + cpu_ns
    while time.thread_time_ns() < end:
        pass


@asynccontextmanager
async def producer(url: str) -> AsyncIterator[Actors]:
    """Connect a broker for the length of the block, and give its actors."""
    broker = octoqueue.LaneBroker(url, options=OPTIONS)
    async with broker.connected():
        yield actors_on(broker)


async def fill(actor: Actor[[], None], count: int, *, lane: Lane = Lane.NORMAL) -> None:
    """Enqueue `count` messages of `actor`."""
    send = actor.using(lane=lane) if lane is not Lane.NORMAL else actor
    for first in range(0, count, BATCH):
        messages = [send.message() for _ in range(min(BATCH, count - first))]
        await octoqueue.asend_many(messages, broker=actor.lanes)


def payloads(actor: Actor[[], None], count: int) -> list[bytes]:
    """Return what `count` messages of `actor` look like in Redis, byte for byte as long."""
    return [
        enqueue_from(
            actor.message(), lane=Lane.NORMAL, flags=Flag.NONE, delay_ms=0, limit_bytes=1 << 20
        ).payload
        for _ in range(count)
    ]
