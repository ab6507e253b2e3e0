"""`Enveloper`: from a dramatiq message to the envelope a store takes. Pure but for the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from octoqueue.broker.context import current_message
from octoqueue.broker.translate import delay_of, enqueue_from
from octoqueue.primitives.envelope import Flag
from octoqueue.primitives.lane import Lane, lane_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dramatiq.message import Message

    from octoqueue.broker.executables import Executable
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import Enqueue


class Enveloper:
    """Knows in which lane a message belongs and whether its result is kept."""

    def __init__(
        self, find: Callable[[str], Executable | None], limit_bytes: Callable[[], int]
    ) -> None:
        """Ask `find` for an actor by name: None when this process does not declare it."""
        self._find = find
        self._limit_bytes = limit_bytes

    def prepared(self, messages: Iterable[Message[Any]], delay_ms: int) -> list[Enqueue]:
        """Return the envelopes of messages that are sent here and now.

        Raises:
            EnqueueError: one of them cannot be sent.
        """
        context = current_message()
        beside = None if context is None else context.header.message_id
        return [self.envelope(message, delay_of(message, delay_ms), beside) for message in messages]

    def envelope(self, message: Message[Any], delay_ms: int, beside: MessageId | None) -> Enqueue:
        """Return the envelope of a message, in the partition of `beside` when it is given."""
        wanted = message.options.get("lane")
        if wanted is not None:
            lane = lane_from(wanted)
        else:
            actor = self._find(message.actor_name)
            # Without one it is a message for a program that declares its actor elsewhere.
            lane = Lane.NORMAL if actor is None else actor.options.lane
        return enqueue_from(
            message,
            lane=lane,
            flags=Flag.KEEP_RESULT if self.keeps_result(message) else Flag.NONE,
            delay_ms=delay_ms,
            limit_bytes=self._limit_bytes(),
            beside=beside,
        )

    def keeps_result(self, message: Message[Any]) -> bool:
        """Return whether somebody may ask for the result."""
        wanted = message.options.get("results")
        if wanted is None:
            actor = self._find(message.actor_name)
            wanted = actor is not None and actor.options.results
        return bool(wanted)
