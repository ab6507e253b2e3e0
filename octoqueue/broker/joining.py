"""Waiting until a queue is idle: for tests, as in dramatiq."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dramatiq.errors import QueueJoinTimeout

from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from octoqueue.lanes.protocol import LaneStore

_LOOK_EVERY_SECONDS = 0.02


async def wait_until_idle(
    opened_store: Callable[[], Awaitable[LaneStore]],
    queue: str,
    *,
    timeout: timedelta | None,
    clock: Clock | None = None,
) -> None:
    """Return when nothing of `queue` waits, is delayed or runs.

    Raises:
        QueueJoinTimeout: it did not come to that within `timeout`.
    """
    clock = clock or SystemClock()
    store = await opened_store()
    deadline = None if timeout is None else clock.monotonic() + timeout.total_seconds()
    while True:
        stats = await store.stats(queue)
        if not (stats.waiting or stats.delayed or stats.in_flight):
            return
        if deadline is not None and clock.monotonic() >= deadline:
            raise QueueJoinTimeout(queue)  # type: ignore[no-untyped-call] # dramatiq's
        await clock.sleep(_LOOK_EVERY_SECONDS)
