"""`MemoryOnce`: the ids of messages that may be sent again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.primitives.once import IN_DOUBT, SETTLED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from octoqueue.primitives.ids import MessageId

_MILLISECOND = timedelta(milliseconds=1)


class MemoryOnce:
    """Remembers as long as `primitives/once.py` says."""

    def __init__(self) -> None:
        self._until_ms: dict[MessageId, int] = {}

    def knows(self, message_id: MessageId, now_ms: int) -> bool:
        """Return whether it was stored and is not forgotten yet."""
        return self._until_ms.get(message_id, 0) > now_ms

    def remember(self, message_id: MessageId, now_ms: int) -> None:
        """Note that it was stored."""
        self._until_ms[message_id] = now_ms + IN_DOUBT // _MILLISECOND

    def settle(self, message_ids: Iterable[MessageId], now_ms: int) -> None:
        """Forget them soon: nobody will send them again."""
        for message_id in message_ids:
            if self.knows(message_id, now_ms):
                self._until_ms[message_id] = now_ms + SETTLED // _MILLISECOND
