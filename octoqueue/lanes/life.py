"""`MessageLife`: what a store does with single messages and whole queues at somebody's wish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from octoqueue.lanes.cancelling import RESULT_TTL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from octoqueue.lanes.answers import CancelOutcome
    from octoqueue.lanes.finding import Explanation, Whereabouts
    from octoqueue.primitives.history import PastAttempt
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.lane import Lane


class MessageLife(Protocol):
    """Part of `LaneStore`: what command lines and callers of actors ask for, not workers' loops.

    With `queue`, a message is looked for there and nowhere else, which is faster.
    """

    async def pause(self, queue: str) -> None:
        """Let nothing be claimed from a queue until somebody resumes it; what goes in waits."""
        ...

    async def resume(self, queue: str) -> None:
        """Let a paused queue be claimed from again."""
        ...

    async def cancel(
        self,
        message_id: MessageId,
        reason: str = "",
        *,
        queue: str | None = None,
        result_ttl: timedelta = RESULT_TTL,
    ) -> CancelOutcome:
        """Let a message never start, or stop it; say which.

        Once this has returned `REMOVED` or `STOPPING` the message is not started any more, neither
        by a retry nor after the loss of its worker. Who waits for its result gets `Cancelled`.
        """
        ...

    async def cancelled(self, message_ids: Sequence[MessageId]) -> dict[MessageId, str]:
        """Return which of these messages have been cancelled and not ended, with the reasons."""
        ...

    async def wait_for_cancel(self, queues: Sequence[str], *, timeout: timedelta) -> bool:
        """Return True as soon as a running message of these queues may have been cancelled.

        `cancelled` says which. It may return True for nothing, and rings one waiter of this store.
        Messages cancelled while nobody listened are not heard: ask `cancelled` now and then, too.
        """
        ...

    async def find(self, message_id: MessageId, *, queue: str | None = None) -> Whereabouts:
        """Return where a message is."""
        ...

    async def explain(self, message_id: MessageId, *, queue: str | None = None) -> Explanation:
        """Return where a message is and everything that keeps it from running now."""
        ...

    async def history(self, message_id: MessageId) -> list[PastAttempt]:
        """Return how the attempts of a message ended that were tried again, oldest first.

        The last ten, also while it waits for the next and when it is dead; none once it has
        succeeded, was cancelled, expired, or was replayed.
        """
        ...

    async def move(
        self, message_id: MessageId, lane: Lane, *, queue: str | None = None
    ) -> Whereabouts:
        """Give a message that waits or is delayed another lane; return where it is then.

        One that waits goes to the tail of the lane. Retries stay in the new lane.

        Raises:
            LaneFull: the lane has no room; the message is where it was.
            NotWaiting: the message runs, has ended or is unknown.
        """
        ...
