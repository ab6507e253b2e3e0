"""Waiting until a queue is idle: for tests, as in dramatiq."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
from dramatiq.errors import QueueJoinTimeout

from octoqueue.errors import ActorFailed
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.ids import text_from_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from octoqueue.lanes.protocol import LaneStore

LOOK_EVERY_MS = 20


async def joined(
    opened_store: Callable[[], Awaitable[LaneStore]],
    queue: str,
    *,
    interval_ms: int,
    timeout_ms: int | None,
    fail_fast: bool,
) -> None:
    """Return when `queue` is idle, for `LaneBroker.join`; raises what that says."""
    timeout = None if timeout_ms is None else timedelta(milliseconds=timeout_ms)
    look_every = timedelta(milliseconds=interval_ms)
    await wait_until_idle(opened_store, queue, timeout=timeout, look_every=look_every)
    if fail_fast:
        await require_no_dead_letter(await opened_store(), queue)


async def wait_until_idle(
    opened_store: Callable[[], Awaitable[LaneStore]],
    queue: str,
    *,
    timeout: timedelta | None,
    look_every: timedelta = timedelta(milliseconds=LOOK_EVERY_MS),
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
        await clock.sleep(look_every.total_seconds())


async def require_no_dead_letter(store: LaneStore, queue: str) -> None:
    """Return when `queue` has no dead letter.

    Raises:
        ActorFailed: what the newest one died of.
    """
    for letter in await store.dead_letters(queue, limit=1):
        reason = orjson.loads(letter.reason)
        raise ActorFailed(
            message_id=text_from_id(letter.message_id),
            error=reason["error"],
            detail=reason["message"],
        )
