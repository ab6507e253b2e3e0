"""How attempts of the memory store's messages ended that were tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.primitives.history import (
    MOST_KEPT,
    PastAttempt,
    past_attempt_from,
    record_of,
    stamped,
)
from octoqueue.primitives.messages import Outcome

if TYPE_CHECKING:
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import SessionId, Settlement


class MemoryHistory:
    """The last attempts of each message, until their time is over."""

    def __init__(self, clock: Clock, ttl_ms: int) -> None:
        self._clock = clock
        self._ttl_ms = ttl_ms
        self._kept: dict[MessageId, tuple[int, list[bytes]]] = {}

    def remember(self, settlement: Settlement, session: SessionId, outcome: Outcome) -> None:
        """Add an attempt, or forget it with a message that is gone for good."""
        ident, now = settlement.lease.message_id, self._clock.now_ms()
        record, known = record_of(settlement, session), self._known(ident)
        if outcome is Outcome.RETRY or (outcome is Outcome.ACK and record):
            known = [*known, stamped(record, now)][-MOST_KEPT:]
            self._kept[ident] = (now + self._ttl_ms, known)
        elif outcome is Outcome.DEAD_LETTER:
            self._kept[ident] = (now + self._ttl_ms, known)
        elif outcome in (Outcome.ACK, Outcome.CANCEL, Outcome.EXPIRE):
            self.drop(ident)

    def drop(self, message_id: MessageId) -> None:
        """Forget the attempts of a message."""
        self._kept.pop(message_id, None)

    def of(self, message_id: MessageId) -> list[PastAttempt]:
        """Return them, oldest first."""
        return [past_attempt_from(kept) for kept in self._known(message_id)]

    def _known(self, message_id: MessageId) -> list[bytes]:
        ends_at, known = self._kept.get(message_id, (0, []))
        return known if ends_at > self._clock.now_ms() else []
