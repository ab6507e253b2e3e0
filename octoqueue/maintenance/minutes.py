"""History: whole minutes of queues move from the store's counters into PostgreSQL.

The store counts seconds and keeps ten minutes of them. Whoever calls `roll_minutes` every minute or
so moves all minutes that are over; each call moves all that the store still knows, so that whoever
dies between reading and writing leaves nothing to repair that the next call does not. Minutes that
nobody moved in time are missing, which is not the same as 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.postgres.minutes import Minutes


async def roll_minutes(store: LaneStore, minutes: Minutes, queues: Sequence[str]) -> int:
    """Keep the last whole minutes of some queues, and let go of those that are too old.

    Call it at least every eight minutes; it may be called as often, and by as many, as you like.

    Args:
        store: where the messages are.
        minutes: the history.
        queues: which.

    Returns:
        How many minutes the store told, new or not.

    Raises:
        StoreError: a server did not answer; nothing is lost when this is called again in time.
    """
    told = await store.arrival_minutes(list(queues)) if queues else []
    await minutes.add(told)
    await minutes.prune()
    return len(told)
