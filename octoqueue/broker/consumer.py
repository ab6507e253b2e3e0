"""dramatiq's `Consumer` on a `LaneStore`, for the stock worker and command line.

dramatiq claims in one thread a queue and settles in others, each by a call of its own: this is the
compatible way to run work, not the fast one.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import orjson
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import ConnectionClosed

from octoqueue.broker.encoding import opened
from octoqueue.broker.expiring import ends_of, too_late
from octoqueue.broker.leased import LeasedMessage
from octoqueue.broker.records import error_record, reason_of
from octoqueue.errors import (
    EnvelopeError,
    InvalidMessage,
    MessageRejected,
    PoisonMessage,
    StoreUnavailable,
)
from octoqueue.primitives.envelope import Flag, decode_body, unpack_header
from octoqueue.primitives.messages import Lease, Outcome, ResultRecord, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

    from octoqueue.broker.portal import Portal
    from octoqueue.broker.session_keeper import SessionKeeper

_FULL_SECONDS = 0.005
_LATE_CLAIM_SECONDS = 10.0


class LaneConsumer(Consumer):
    """Claims what the worker has room for and settles it.

    One thread iterates; any thread may ack.
    """

    def __init__(
        self,
        portal: Portal,
        keeper: SessionKeeper,
        queue: str,
        *,
        prefetch: int,
        timeout: timedelta,
        max_deliveries: int,
        result_ttl_ms: int,
        expires_ms_of: Callable[[str], int | None] = lambda _: None,
    ) -> None:
        self._portal = portal
        self._keeper = keeper
        self._queue = queue
        self._prefetch = max(prefetch, 1)
        self._timeout = timeout
        self._max_deliveries = max_deliveries
        self._result_ttl_ms = result_ttl_ms
        self._expires_ms_of = expires_ms_of
        self._claimed: deque[Lease] = deque()
        self._looks_at = deque((0.0, keeper.clock.monotonic() + _LATE_CLAIM_SECONDS))

    def __next__(self) -> MessageProxy | None:
        """Return the next message, or None when none came within the timeout."""
        if not self._claimed:
            self._claimed.extend(_oldest_first(self._guarded(self._claim())))
        while self._claimed:
            lease = self._claimed.popleft()
            message = self._message(lease)
            if message is not None:
                return message
        return None

    def _message(self, lease: Lease) -> LeasedMessage | None:
        try:
            header = unpack_header(lease.payload)
            message = LeasedMessage(lease, header, opened(decode_body(lease.payload)))
        except EnvelopeError as error:
            self._settle(_burial(lease, error))
            return None
        if header.deliveries >= self._max_deliveries:
            message.stuff_exception(PoisonMessage(header.deliveries))
            self.nack(message)
            return None
        return message if self._is_in_time(message) else None

    def _is_in_time(self, message: LeasedMessage) -> bool:
        """Whether a message may still be begun; one that came too late is dropped."""
        try:
            ends = ends_of(message.call, self._expires_ms_of(message.actor_name))
        except InvalidMessage as error:
            message.stuff_exception(error)
            self.nack(message)
            return False
        late = too_late(ends, now_ms=self._keeper.clock.now_ms())
        if late is None:
            return True
        if message.keeps_result:
            body = orjson.dumps(error_record(late))
            message.result = ResultRecord(body=body, ttl_ms=self._result_ttl_ms)
        self._settle(message.settlement(Outcome.EXPIRE))
        return False

    async def _claim(self) -> list[Lease]:
        store, session = await self._keeper.opened_store(), self._keeper.session
        if self._looks_at and self._keeper.clock.monotonic() >= self._looks_at[0]:
            # What a consumer before this one claimed without ever hearing the answer; once more
            # later, as a claim given up there may only then reach a stalled store.
            orphans = await self._keeper.orphans(self._queue)
            self._looks_at.popleft()
            if orphans:
                return orphans
        room = self._prefetch - self._keeper.count_in_hand(self._queue)
        if room <= 0:
            # Every slot is taken: give the worker's threads their time.
            await self._keeper.clock.sleep(_FULL_SECONDS)
            return []
        leases = await store.claim(session, [self._queue], limit=room)
        if not leases and await store.wait_for_bell([self._queue], timeout=self._timeout):
            leases = await store.claim(session, [self._queue], limit=room)
            if not leases:
                self._keeper.nudge()  # the bell may have told of a delayed message
        self._keeper.take_in_hand(leases)
        return leases

    def ack(self, message: MessageProxy) -> None:
        """Acknowledge a message, with its result, and with its retry when it is to be retried."""
        if isinstance(message, LeasedMessage):
            self._settle(message.settlement(Outcome.ACK))

    def nack(self, message: MessageProxy) -> None:
        """Put a message among the dead letters."""
        if isinstance(message, LeasedMessage):
            error = message.error or MessageRejected()
            if message.keeps_result:
                body = orjson.dumps(error_record(error))
                message.result = ResultRecord(body=body, ttl_ms=self._result_ttl_ms)
            reason = orjson.dumps(reason_of(error) | {"actor": message.actor_name})
            self._settle(message.settlement(Outcome.DEAD_LETTER, reason=reason))

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give messages back to their lanes, and with them what was claimed and not yet given out.

        When the store is gone they are forgotten instead, for the next consumer to find.
        """
        settlements = [
            message.settlement(Outcome.RELEASE)
            for message in messages
            if isinstance(message, LeasedMessage)
        ]
        settlements += [Settlement(lease=lease, outcome=Outcome.RELEASE) for lease in self._claimed]
        self._claimed.clear()
        try:
            self._settle(*settlements)
        finally:
            self._keeper.let_go(settlement.lease for settlement in settlements)

    def _settle(self, *settlements: Settlement) -> None:
        async def commit() -> None:
            store = await self._keeper.opened_store()
            await store.commit(self._keeper.session, settlements=settlements)

        if settlements:
            self._guarded(commit())
            self._keeper.let_go(settlement.lease for settlement in settlements)

    def _guarded(self, coroutine: Any) -> Any:
        try:
            return self._portal.run(coroutine)
        except StoreUnavailable as error:
            gone: Exception = ConnectionClosed(str(error))  # type: ignore[no-untyped-call]
            raise gone from error


def _oldest_first(leases: list[Lease]) -> list[Lease]:
    """Return a claim in the order in which its messages became ready, whatever their partitions.

    Claims in which messages have turns to keep (of tenants, say) stay as they are.
    """
    try:
        headers = {lease.token: unpack_header(lease.payload) for lease in leases}
    except EnvelopeError:
        return leases  # it is buried when its turn comes
    if any(header.flags & Flag.EXTENDED for header in headers.values()):
        return leases

    def age(lease: Lease) -> tuple[int, int, bytes]:
        header = headers[lease.token]
        return header.lane, header.ready_at_ms, header.message_id

    return sorted(leases, key=age)


def _burial(lease: Lease, error: Exception) -> Settlement:
    return Settlement(
        lease=lease, outcome=Outcome.DEAD_LETTER, reason=orjson.dumps(reason_of(error))
    )
