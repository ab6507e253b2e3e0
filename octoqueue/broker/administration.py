"""`AdministeredBroker`: the verbs of operators, about queues and single messages.

Each has an async form, whose name begins with `a`, and one that blocks. They take effect at once,
also inside an actor: nothing of them is kept for its commit. Messages are named by the id of their
handle. One whose sender chose an id that is no uuid7 has another in the store, which only its
handle knows: cancel it with `handle.cancel()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.broker.context import current_message
from octoqueue.broker.stock_broker import StockBroker
from octoqueue.errors import InvalidMessage
from octoqueue.lanes.answers import CancelOutcome
from octoqueue.lanes.cancelling import RESULT_TTL
from octoqueue.primitives.ids import MessageId, id_from_text
from octoqueue.primitives.lane import Lane, lane_from
from octoqueue.primitives.queue_names import require_queue_name

if TYPE_CHECKING:
    from datetime import timedelta

    from octoqueue.lanes.finding import Explanation, Whereabouts
    from octoqueue.primitives.history import PastAttempt


class AdministeredBroker(StockBroker):
    """Pauses queues; cancels, explains, finds and moves messages.

    Every verb raises `StoreUnavailable` when the store cannot be reached.
    """

    # ── queues ───────────────────────────────────────────────────────────────────────────────────

    async def apause(self, queue: str) -> None:
        """Let nothing be claimed from a queue until it is resumed; what runs goes on.

        Raises:
            InvalidMessage: there can be no such queue.
        """
        require_queue_name(queue)
        await (await self.opened_store()).pause(queue)

    def pause(self, queue: str) -> None:
        """Let nothing be claimed from a queue until it is resumed; what runs goes on."""
        self._portal.run(self.apause(queue))

    async def aresume(self, queue: str) -> None:
        """Let a paused queue be claimed from again."""
        await (await self.opened_store()).resume(queue)

    def resume(self, queue: str) -> None:
        """Let a paused queue be claimed from again."""
        self._portal.run(self.aresume(queue))

    # ── messages ─────────────────────────────────────────────────────────────────────────────────

    async def acancel(
        self,
        message_id: str,
        reason: str = "",
        *,
        queue: str | None = None,
        result_ttl: timedelta = RESULT_TTL,
    ) -> CancelOutcome:
        """Let a message never start, or stop it where it runs; say what that did.

        An async actor is cancelled at its next await, a thread interrupted at its next instruction;
        their `finally` blocks run, and what they return instead counts. A cancelled message is not
        tried again, and whoever waits for its result gets `ActorFailed` with the error `Cancelled`
        and the reason.

        Args:
            message_id: the message.
            reason: why, for whoever asks later.
            queue: where it is; found faster when it is known.
            result_ttl: how long its result, that it was cancelled, is kept if it keeps results.

        Raises:
            InvalidMessage: `message_id` is no id.
        """
        ident = _known(message_id)
        return await self.acancel_stored(ident, reason, queue=queue, result_ttl=result_ttl)

    def cancel(
        self,
        message_id: str,
        reason: str = "",
        *,
        queue: str | None = None,
        result_ttl: timedelta = RESULT_TTL,
    ) -> CancelOutcome:
        """Cancel a message; blocks. See `acancel`."""
        ident = _known(message_id)
        return self.cancel_stored(ident, reason, queue=queue, result_ttl=result_ttl)

    async def acancel_stored(
        self, ident: MessageId, reason: str, *, queue: str | None, result_ttl: timedelta
    ) -> CancelOutcome:
        """Cancel the message that the store knows by this id."""
        if _taken_back(ident):
            return CancelOutcome.REMOVED
        store = await self.opened_store()
        return await store.cancel(ident, reason, queue=queue, result_ttl=result_ttl)

    def cancel_stored(
        self, ident: MessageId, reason: str, *, queue: str | None, result_ttl: timedelta
    ) -> CancelOutcome:
        """Cancel the message that the store knows by this id; blocks."""
        if _taken_back(ident):
            return CancelOutcome.REMOVED
        return self._portal.run(
            self.acancel_stored(ident, reason, queue=queue, result_ttl=result_ttl)
        )

    async def aexplain(self, message_id: str, *, queue: str | None = None) -> Explanation:
        """Say where a message is, and everything that keeps it from running.

        It looks through the queue (or all queues) in steps, so it may be slow and a little late,
        but holds up nobody.

        Raises:
            InvalidMessage: `message_id` is no id.
        """
        return await (await self.opened_store()).explain(_known(message_id), queue=queue)

    def explain(self, message_id: str, *, queue: str | None = None) -> Explanation:
        """Say why a message does not run; blocks. See `aexplain`."""
        return self._portal.run(self.aexplain(message_id, queue=queue))

    async def afind(self, message_id: str, *, queue: str | None = None) -> Whereabouts:
        """Say where a message is; like `aexplain` without the reasons.

        Raises:
            InvalidMessage: `message_id` is no id.
        """
        return await (await self.opened_store()).find(_known(message_id), queue=queue)

    def find(self, message_id: str, *, queue: str | None = None) -> Whereabouts:
        """Say where a message is; blocks. See `afind`."""
        return self._portal.run(self.afind(message_id, queue=queue))

    async def ahistory(self, message_id: str) -> list[PastAttempt]:
        """Say how the attempts of a message ended that were tried again, oldest first.

        The last ten, also of a dead letter; none once it has succeeded or was replayed.

        Raises:
            InvalidMessage: `message_id` is no id.
        """
        return await (await self.opened_store()).history(_known(message_id))

    def history(self, message_id: str) -> list[PastAttempt]:
        """Say how earlier attempts of a message ended; blocks. See `ahistory`."""
        return self._portal.run(self.ahistory(message_id))

    async def amove(
        self, message_id: str, lane: Lane | str, *, queue: str | None = None
    ) -> Whereabouts:
        """Give a message that waits or is delayed another lane; say where it is then.

        Raises:
            InvalidMessage: `message_id` is no id, or `lane` no lane.
            NotWaiting: it neither waits nor is delayed.
            LaneFull: the lane has no room for it; it stays where it was.
        """
        store = await self.opened_store()
        return await store.move(_known(message_id), lane_from(lane), queue=queue)

    def move(self, message_id: str, lane: Lane | str, *, queue: str | None = None) -> Whereabouts:
        """Give a message another lane; blocks. See `amove`."""
        return self._portal.run(self.amove(message_id, lane, queue=queue))


def _known(message_id: str) -> MessageId:
    found = id_from_text(message_id)
    if found is None:
        raise InvalidMessage("message_id", f"{message_id!r} is no UUID in canonical form")
    return found


def _taken_back(ident: MessageId) -> bool:
    """Whether the message would have left with the commit of the very actor that cancels it."""
    context = current_message()
    return context is not None and context.give_up(ident) is not None
