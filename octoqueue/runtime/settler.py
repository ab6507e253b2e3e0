"""`Settler`: commits whatever has ended since its last call, one call at a time.

Under load the batches grow by themselves: while one commit travels, the next collects. A commit
that failed is sent again until it succeeds or the worker gives up; a settlement that had already
taken effect is then refused by its token and changes nothing. A commit the store refuses for good
is taken apart, so that one impossible settlement holds up no other; it ends as a dead letter.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import orjson

from octoqueue.broker.completions import died_of
from octoqueue.broker.records import reason_of
from octoqueue.errors import OctoqueueError
from octoqueue.primitives.closing import tells_events
from octoqueue.primitives.ids import MessageId, text_from_id
from octoqueue.primitives.messages import (
    Lease,
    LeaseToken,
    Outcome,
    RunTime,
    SessionId,
    Settlement,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.clock import Clock
    from octoqueue.runtime.offloading import Offloader

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.2
_MOST_AT_ONCE = 1_000
_FEW = 10
_MOST_FOLLOW_UPS = 2_000
"""Follow-ups and events in one call, unless a single settlement has more."""


class Settler:
    """Ends leases in batches."""

    def __init__(
        self,
        store: LaneStore,
        session: Callable[[], SessionId],
        *,
        clock: Clock,
        sealed: Callable[[Settlement], Settlement] | None = None,
        offloader: Offloader | None = None,
        company_seconds: float = 0.0,
    ) -> None:
        """Commit to `store`.

        Args:
            store: where leases end.
            session: the name of the session that holds them.
            clock: for the wait between two tries.
            sealed: adds the events of a message that tells some.
            offloader: puts large results away before they are committed.
            company_seconds: how long a small commit that follows another waits for more to end.
        """
        self._store = store
        self._sealed = sealed
        self._offloader = offloader
        self._offloading: dict[LeaseToken, asyncio.Task[None]] = {}
        self._session = session
        self._clock = clock
        self._acks: list[Lease] = []
        self._settlements: list[Settlement] = []
        self._runs: dict[str, list[float]] = {}
        """A queue: attempts, seconds, squared seconds."""
        self._sending: asyncio.Task[None] | None = None
        self._tokens: set[LeaseToken] = set()
        self._company_seconds = company_seconds
        self._sent_at = 0.0

    @property
    def pending(self) -> int:
        """Settlements not yet committed."""
        return len(self._acks) + len(self._settlements) + len(self._tokens) + len(self._offloading)

    def tokens(self) -> set[LeaseToken]:
        """Return the tokens of all leases on their way to being settled."""
        waiting = {lease.token for lease in self._acks}
        waiting.update(settlement.lease.token for settlement in self._settlements)
        return waiting.union(self._tokens, self._offloading)

    def ack(self, lease: Lease) -> None:
        """Acknowledge a message that left nothing else behind."""
        self._acks.append(lease)
        self._wake()

    def settle(self, settlement: Settlement) -> None:
        """End a lease with all that belongs to it."""
        if self._offloader is not None and self._offloader.takes(settlement):
            work = self._offload(settlement, self._offloader)
            self._offloading[settlement.lease.token] = asyncio.ensure_future(work)
            return
        self._settle(settlement)

    async def _offload(self, settlement: Settlement, offloader: Offloader) -> None:
        lighter = await offloader.offloaded(settlement)
        del self._offloading[settlement.lease.token]
        self._settle(lighter)

    def _settle(self, settlement: Settlement) -> None:
        if self._sealed is not None and tells_events(settlement.lease.payload):
            settlement = self._sealed(settlement)
        self._settlements.append(settlement)
        self._wake()

    def ran(self, queue: str, seconds: float) -> None:
        """Count the running time of one attempt."""
        runs = self._runs.get(queue)
        if runs is None:
            runs = self._runs[queue] = [0, 0.0, 0.0]
        runs[0] += 1
        runs[1] += seconds
        runs[2] += seconds * seconds

    def _wake(self) -> None:
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        try:
            while self._acks or self._settlements:
                await self._wait_for_company()
                acks, self._acks = self._acks[:_MOST_AT_ONCE], self._acks[_MOST_AT_ONCE:]
                settlements = self._next_settlements()
                runs, self._runs = self._runs, {}
                self._tokens = {lease.token for lease in acks}
                self._tokens.update(s.lease.token for s in settlements)
                await self._commit(acks, settlements, runs)
                self._tokens = set()
        finally:
            self._sending = None

    async def _wait_for_company(self) -> None:
        """Wait a moment when one commit would follow another and carry next to nothing."""
        loop = asyncio.get_running_loop()
        is_small = len(self._acks) + len(self._settlements) < _FEW
        if is_small and loop.time() - self._sent_at < self._company_seconds:
            await asyncio.sleep(self._company_seconds)  # noqa: TID251 - whatever the clock of a test says
        self._sent_at = loop.time()

    def _next_settlements(self) -> list[Settlement]:
        """Take what one call can carry, at least one."""
        count = messages = 0
        for settlement in self._settlements[:_MOST_AT_ONCE]:
            messages += len(settlement.follow_ups)
            messages += 0 if settlement.events is None else len(settlement.events.events)
            if count and messages > _MOST_FOLLOW_UPS:
                break
            count += 1
        taken, self._settlements = self._settlements[:count], self._settlements[count:]
        return taken

    async def _commit(
        self, acks: list[Lease], settlements: list[Settlement], runs: dict[str, list[float]]
    ) -> None:
        run_times = {
            queue: RunTime(
                count=int(count),
                total_us=round(seconds * 1_000_000),
                squares_ms2=round(squares * 1_000_000),
            )
            for queue, (count, seconds, squares) in runs.items()
        }
        again = False
        while True:
            try:
                refusals = await self._store.commit(
                    self._session(), acks=acks, settlements=settlements, run_times=run_times
                )
            except Exception as error:  # noqa: BLE001 - whatever it was, the others must be settled
                if not (isinstance(error, OctoqueueError) and error.retryable):
                    await self._commit_apart(acks, settlements, error)
                    return
                if not again:
                    log.warning("commit_failed", extra={"reason": str(error)})
                again = True
                run_times = {}  # may have been counted; better once too few than twice
                await self._clock.sleep(_AGAIN_SECONDS)
                continue
            break
        if again:
            # Refusals now say nothing: the first try may have taken effect.
            log.info("commit_recovered", extra={"messages": len(acks) + len(settlements)})
            return
        if refusals.acks:
            log.warning("leases_lost", extra={"messages": refusals.acks})
        for token in refusals.tokens:
            log.warning("lease_lost", extra={"message_id": text_from_id(MessageId(token[:16]))})

    async def _commit_apart(
        self, acks: list[Lease], settlements: list[Settlement], error: Exception
    ) -> None:
        """Commit what a store refused together in halves, down to the one it cannot take."""
        if len(acks) + len(settlements) > 1:
            half_acks, half = len(acks) // 2, (len(settlements) + 1) // 2
            await self._commit(acks[:half_acks], settlements[:half], {})
            await self._commit(acks[half_acks:], settlements[half:], {})
            return
        for lease in (*acks, *(settlement.lease for settlement in settlements)):
            await self._bury(lease, error)

    async def _bury(self, lease: Lease, error: Exception) -> None:
        """End a lease as a dead letter, because its own settlement is impossible."""
        facts = {"queue": lease.queue, "message_id": text_from_id(lease.message_id)}
        log.error("settlement_refused", extra=facts, exc_info=error)
        last = Settlement(
            lease=lease,
            outcome=Outcome.DEAD_LETTER,
            reason=orjson.dumps(reason_of(error)),
            follow_ups=died_of(lease, error, now_ms=self._clock.now_ms()),
        )
        try:
            await self._store.commit(self._session(), settlements=[last])
        except Exception:
            # It stays leased until this worker stops and hands back what it still holds.
            log.exception("settlement_given_up", extra=facts)

    async def drained(self) -> None:
        """Return when everything is committed."""
        while self._sending is not None or self._offloading:
            if self._sending is not None:
                await asyncio.shield(self._sending)
            else:
                await asyncio.wait(self._offloading.values())

    def abandon(self) -> None:
        """Stop trying; what is not committed will be reclaimed and run again."""
        if self._sending is not None:
            self._sending.cancel()
        for task in self._offloading.values():
            task.cancel()
