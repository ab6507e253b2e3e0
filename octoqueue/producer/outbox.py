"""Enqueue inside a database transaction: the message exists if and only if it commits.

    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("insert into orders …")
        await octoqueue.enqueue_in(connection, charge.message(order_id))

The message becomes a row of the table `outbox`, written by the caller's transaction. When that
commits, a relay (`octoqueue/maintenance/relay.py`) hears of it, moves the message into its lane and
deletes the row. Everything that can be wrong with a message is said here, before the commit; only
whether its lane has room is not: a relay waits for that as long as it takes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from octoqueue.errors import DeclarationError
from octoqueue.postgres.statements import load_statements
from octoqueue.producer.batch import broker_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from octoqueue.broker.handles import MessageHandle
    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.primitives.messages import Enqueue

_MILLISECOND = timedelta(milliseconds=1)
_NO_TIME = timedelta(0)


class TransactionConnection(Protocol):
    """What is needed of a connection; asyncpg's have it, those of its pools too."""

    def execute(self, query: str, *args: Any) -> Coroutine[Any, Any, Any]:  # noqa: ANN401
        """Run one statement with positional arguments."""
        ...

    def is_in_transaction(self) -> bool:
        """Return whether a transaction is open."""
        ...


async def enqueue_in(
    connection: TransactionConnection,
    *messages: MessageHandle[Any],
    head_start: timedelta = _NO_TIME,
    broker: LaneBroker | None = None,
) -> list[MessageHandle[Any]]:
    """Enqueue messages in the transaction of a connection and return their handles, in order.

    Nothing reaches Redis before the commit; after it every message will, exactly once, however
    often relays are killed. What the connection itself raises is not translated.

    Args:
        connection: asyncpg's, in a transaction, on a database with the table `outbox`.
        messages: built by `actor.message(…)` or `actor.using(…).message(…)`.
        head_start: for how long after now the relays leave the rows to the caller.
        broker: whose middleware is asked; that of the messages' actors by default.

    Raises:
        DeclarationError: no transaction is open, or the actors are on different brokers.
        EnqueueError: a message cannot be sent; nothing was written.
    """
    if not connection.is_in_transaction():
        raise DeclarationError(
            "enqueue_in needs a connection with an open transaction: without one the message would "
            "not be bound to anything; use `async with connection.transaction():`"
        )

    async def write(group: Sequence[Enqueue]) -> None:
        if group:
            await connection.execute(
                load_statements("outbox")["add_messages"].text,
                [UUID(bytes=message.message_id) for message in group],
                [message.actor_name for message in messages],
                [message.queue for message in group],
                [message.lane.label for message in group],
                [message.payload for message in group],
                [message.delay_ms for message in group],
                head_start // _MILLISECOND,
            )

    return await (broker or broker_of(messages)).aenqueue_through(write, messages)
