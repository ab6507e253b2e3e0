"""Following a message's events from where they are wanted."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import EventTimeout, InvalidMessage
from octoqueue.primitives.events import position_from
from octoqueue.primitives.ids import id_from_text, text_from_id

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.events import Event, Position
    from octoqueue.primitives.ids import MessageId

PATIENCE = timedelta(seconds=60)
"""How long a follower waits for the next event when it says nothing else."""


def following(
    find: Callable[[MessageId], Awaitable[tuple[LaneStore, MessageId]]],
    message_id: str,
    *,
    timeout: timedelta | None,
    since: str | None,
) -> AsyncGenerator[Event]:
    """Return the events of a message; `find` gives store and id when they are first asked for.

    Raises:
        InvalidMessage: `message_id` or `since` is none.
    """
    ident = id_from_text(message_id)
    if ident is None:
        raise InvalidMessage("message_id", f"{message_id!r} is no UUID in canonical form")
    position = None if since is None else position_from(since)
    return _following(find, ident, timeout=timeout, since=position)


async def _following(
    find: Callable[[MessageId], Awaitable[tuple[LaneStore, MessageId]]],
    ident: MessageId,
    *,
    timeout: timedelta | None,
    since: Position | None,
) -> AsyncGenerator[Event]:
    store, ident = await find(ident)
    source = store.events(ident, since=since)
    seconds = None if timeout is None else timeout.total_seconds()
    try:
        while True:
            try:
                async with asyncio.timeout(seconds):
                    event = await anext(source)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise _timed_out(ident, timeout) from None
            yield event
    finally:
        await source.aclose()


def _timed_out(ident: MessageId, timeout: timedelta | None) -> EventTimeout:
    message_id = text_from_id(ident)
    return EventTimeout(
        f"message {message_id} told nothing for {timeout}; is a worker running for its queue?",
        message_id=message_id,
    )
