"""Many messages in one call, all or none.

    await octoqueue.asend_many([index.message(page) for page in pages])

On a single Redis the messages of one call are stored together or, when a lane has no room, not at
all. On Redis Cluster that holds for each partition of the call by itself.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from octoqueue.broker.default import default_broker
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.broker.handles import MessageHandle


async def asend_many(
    messages: Sequence[MessageHandle[Any]],
    *,
    delay: timedelta = timedelta(0),
    broker: LaneBroker | None = None,
) -> list[MessageHandle[Any]]:
    """Enqueue messages and return their handles, in order.

    Raises:
        DeclarationError: their actors are declared on different brokers.
        LaneFull: a lane has no room for all of them; nothing was stored.
        StoreUnavailable: whether they were accepted is unknown.
    """
    return await (broker or broker_of(messages)).aenqueue_many(messages, delay=delay)


def send_many(
    messages: Sequence[MessageHandle[Any]], *, broker: LaneBroker | None = None
) -> list[MessageHandle[Any]]:
    """Enqueue messages and return their handles; blocks until they are accepted.

    Raises like `asend_many`.
    """
    return (broker or broker_of(messages)).enqueue_many(messages)


def broker_of(messages: Sequence[MessageHandle[Any]]) -> LaneBroker:
    """Return the broker on which the actors of the messages are declared."""
    brokers = {id(message.broker): message.broker for message in messages}
    if len(brokers) > 1:
        raise DeclarationError("the actors of these messages are declared on different brokers")
    for broker in brokers.values():
        if isinstance(broker, LaneBroker):
            return broker
    return default_broker()
