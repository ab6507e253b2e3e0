"""Sending when it is due, whatever became of what was sent before.

An open loop: the moments are fixed beforehand, and lateness is measured from them, so a late sender
and a slow enqueue count, and nothing is left out by waiting politely (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from bench.draining import kept
from bench.figures import percentile
from bench.harness import Figure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from bench.child import Child
    from bench.harness import Bench

HEAD_START_NS = 50_000_000
_TICK_SECONDS = 0.001


async def send_by_thread(due_ns: Sequence[int], send: Callable[[int], Awaitable[Any]]) -> list[int]:
    """Send a message at each of the moments; return by how much each send began late.

    A thread keeps the time: the timers of an event loop are only good to a millisecond. For rates
    at which the loop is mostly idle, since a busy one is slow to give a thread its turn.
    """
    loop = asyncio.get_running_loop()
    sends: list[asyncio.Future[Any]] = []
    late_ns: list[int] = []

    def launch(due_ns: int) -> None:
        late_ns.append(time.monotonic_ns() - due_ns)
        sends.append(asyncio.ensure_future(send(due_ns)))

    def keep_time() -> None:
        for moment_ns in due_ns:
            time.sleep(max(moment_ns - time.monotonic_ns(), 0) / 1e9)
            loop.call_soon_threadsafe(launch, moment_ns)

    await asyncio.to_thread(keep_time)
    await asyncio.gather(*sends)
    return late_ns


async def send_by_ticks(due_ns: Sequence[int], send: Callable[[int], Awaitable[Any]]) -> list[int]:
    """Send what is due, about once a millisecond; return by how much each send began late."""
    sends: list[asyncio.Future[Any]] = []
    late_ns: list[int] = []
    at = 0
    while at < len(due_ns):
        now_ns = time.monotonic_ns()
        while at < len(due_ns) and due_ns[at] <= now_ns:
            late_ns.append(now_ns - due_ns[at])
            sends.append(asyncio.ensure_future(send(due_ns[at])))
            at += 1
        await asyncio.sleep(_TICK_SECONDS)
    await asyncio.gather(*sends)
    return late_ns


@asynccontextmanager
async def serving(bench: Bench, module: str, **facts: object) -> AsyncIterator[Child]:
    """Give the kept process of a module while it serves."""
    (child,) = await kept(bench, module, what="serve")
    child.go_on(**facts)
    await child.expect("serving")
    yield child
    child.go_on()
    await child.expect("stopped")


async def stamped(
    child: Child,
    send: Callable[[int], Awaitable[Any]],
    *,
    moments_ns: Sequence[int],
    how: Callable[[Sequence[int], Callable[[int], Awaitable[Any]]], Awaitable[list[int]]],
) -> dict[str, float]:
    """Return figures of what a serving process stamps while it is sent to.

    Args:
        child: serves.
        send: sends a message that says when it was due.
        moments_ns: when each is due, from the start.
        how: keeps the time.
    """
    child.go_on(stamps=len(moments_ns))
    await child.expect("expecting")
    start_ns = time.monotonic_ns() + HEAD_START_NS
    sender_late_ns = await how([start_ns + moment_ns for moment_ns in moments_ns], send)
    said = await child.expect("stamped")
    late_ns = said["late_ns"]
    return {
        "P50 ms": percentile(late_ns, 0.50) / 1e6,
        "P99 ms": percentile(late_ns, 0.99) / 1e6,
        "max ms": max(late_ns) / 1e6,
        "of which sender P50 ms": percentile(sender_late_ns, 0.50) / 1e6,
        "worker CPU µs": said["cpu_seconds"] / len(late_ns) * 1e6,
    }


FIGURES = (
    Figure("P50 ms", 2, better="less"),
    Figure("P99 ms", 2, better="less"),
    Figure("max ms", 1, better="less"),
    Figure("of which sender P50 ms", 2),
    Figure("worker CPU µs", 1, better="less"),
)
