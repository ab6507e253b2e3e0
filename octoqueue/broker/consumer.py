"""dramatiq's `Consumer` on a `LaneStore`, for the stock worker and command line."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import orjson
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import ConnectionClosed

from octoqueue.broker.translate import message_from
from octoqueue.errors import EnvelopeError, StoreUnavailable
from octoqueue.primitives.envelope import decode_body, unpack_header
from octoqueue.primitives.messages import Lease, Outcome, Settlement

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from dramatiq.message import Message

    from octoqueue.broker.portal import Portal
    from octoqueue.broker.session_keeper import SessionKeeper

_FULL_SECONDS = 0.005


class LeasedMessage(MessageProxy):
    """A message with the lease it is settled by."""

    def __init__(self, message: Message[Any], lease: Lease) -> None:
        super().__init__(message)  # pyright: ignore[reportUnknownMemberType] - dramatiq's
        self.lease = lease


class LaneConsumer(Consumer):
    """Claims what the worker has room for and settles it. Not thread-safe, as in dramatiq."""

    def __init__(
        self,
        portal: Portal,
        keeper: SessionKeeper,
        queue: str,
        *,
        prefetch: int,
        timeout: timedelta,
    ) -> None:
        self._portal = portal
        self._keeper = keeper
        self._queue = queue
        self._prefetch = max(prefetch, 1)
        self._timeout = timeout
        self._claimed: deque[Lease] = deque()
        self._outstanding = 0

    def __next__(self) -> MessageProxy | None:
        """Return the next message, or None when none came within the timeout."""
        if not self._claimed:
            self._claimed.extend(self._guarded(self._claim()))
        while self._claimed:
            lease = self._claimed.popleft()
            try:
                header = unpack_header(lease.payload)
                message = message_from(header, decode_body(lease.payload))
            except EnvelopeError as error:
                self._settle(lease, Outcome.DEAD_LETTER, error)
                continue
            self._outstanding += 1
            return LeasedMessage(message, lease)
        return None

    async def _claim(self) -> list[Lease]:
        store, room = await self._keeper.opened_store(), self._prefetch - self._outstanding
        if room <= 0:
            # Every slot is taken: give the worker's threads their time.
            await self._keeper.clock.sleep(_FULL_SECONDS)
            return []
        leases = await store.claim(self._keeper.session, [self._queue], limit=room)
        if not leases and await store.wait_for_bell([self._queue], timeout=self._timeout):
            leases = await store.claim(self._keeper.session, [self._queue], limit=room)
        return leases

    def ack(self, message: MessageProxy) -> None:
        """Acknowledge a message."""
        self._finish(message, Outcome.ACK)

    def nack(self, message: MessageProxy) -> None:
        """Put a message among the dead letters."""
        self._finish(message, Outcome.DEAD_LETTER)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give messages back to their lanes."""
        for message in messages:
            self._finish(message, Outcome.RELEASE)
        while self._claimed:
            self._settle(self._claimed.popleft(), Outcome.RELEASE)

    def _finish(self, message: MessageProxy, outcome: Outcome) -> None:
        self._outstanding = max(self._outstanding - 1, 0)
        if isinstance(message, LeasedMessage):
            self._settle(message.lease, outcome, _error_of(message))

    def _settle(self, lease: Lease, outcome: Outcome, error: BaseException | None = None) -> None:
        reason = {"error": type(error).__name__, "message": str(error)}
        settlement = Settlement(
            lease=lease,
            outcome=outcome,
            reason=orjson.dumps(reason if error else {"error": "Rejected", "message": ""}),
        )

        async def commit() -> None:
            store = await self._keeper.opened_store()
            await store.commit(self._keeper.session, settlements=[settlement])

        self._guarded(commit())

    def _guarded(self, coroutine: Any) -> Any:
        try:
            return self._portal.run(coroutine)
        except StoreUnavailable as error:
            gone: Exception = ConnectionClosed(str(error))  # type: ignore[no-untyped-call]
            raise gone from error


def _error_of(message: LeasedMessage) -> BaseException | None:
    """Return what dramatiq's worker stuffed into a message it rejects."""
    found: BaseException | None = getattr(message, "_exception", None)
    return found
