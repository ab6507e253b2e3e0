"""Pruning: deleting the days on which results have expired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.storage.retention import RESULTS, expired_days

if TYPE_CHECKING:
    from octoqueue.storage.protocol import ObjectStore

_AT_ONCE = 1_000
MOST = 20_000
"""Objects that one pass deletes; the rest is for the next."""


async def prune_results(objects: ObjectStore, *, now_ms: int, limit: int = MOST) -> int:
    """Delete results whose day is over; return how many.

    Any process may do it, several at the same time, and again after a failure.
    """
    deleted = 0
    for day in expired_days(await objects.folders(RESULTS), now_ms=now_ms):
        folder = f"{RESULTS}/{day}"
        while deleted < limit:
            keys = await objects.keys_in(folder, limit=min(_AT_ONCE, limit - deleted))
            if not keys:
                break
            await objects.delete(keys)
            deleted += len(keys)
    return deleted
