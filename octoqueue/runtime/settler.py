"""`Settler`: commits whatever has ended since its last call, one call at a time.

Under load the batches grow by themselves: while one commit travels, the next collects. A commit
that failed is sent again until it succeeds or the worker gives up; a settlement that had already
taken effect is then refused by its token and changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.primitives.ids import MessageId, text_from_id
from octoqueue.primitives.messages import (
    Lease,
    LeaseToken,
    RunTime,
    SessionId,
    Settlement,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.clock import Clock

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.2
_MOST_AT_ONCE = 1_000


class Settler:
    """Ends leases in batches."""

    def __init__(self, store: LaneStore, session: Callable[[], SessionId], *, clock: Clock) -> None:
        self._store = store
        self._session = session
        self._clock = clock
        self._acks: list[Lease] = []
        self._settlements: list[Settlement] = []
        self._runs: dict[str, list[int]] = {}
        self._sending: asyncio.Task[None] | None = None
        self._tokens: set[LeaseToken] = set()

    @property
    def pending(self) -> int:
        """Settlements not yet committed."""
        return len(self._acks) + len(self._settlements) + len(self._tokens)

    def holds(self, token: LeaseToken) -> bool:
        """Return whether the lease of this token is on its way to being settled."""
        return (
            token in self._tokens
            or any(lease.token == token for lease in self._acks)
            or any(s.lease.token == token for s in self._settlements)
        )

    def ack(self, lease: Lease) -> None:
        """Acknowledge a message that left nothing else behind."""
        self._acks.append(lease)
        self._wake()

    def settle(self, settlement: Settlement) -> None:
        """End a lease with all that belongs to it."""
        self._settlements.append(settlement)
        self._wake()

    def ran(self, queue: str, seconds: float) -> None:
        """Count the running time of one attempt."""
        runs = self._runs.get(queue)
        if runs is None:
            runs = self._runs[queue] = [0, 0, 0]
        micros = int(seconds * 1_000_000)
        millis = micros // 1_000
        runs[0] += 1
        runs[1] += micros
        runs[2] += millis * millis

    def _wake(self) -> None:
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        try:
            while self._acks or self._settlements:
                acks, self._acks = self._acks[:_MOST_AT_ONCE], self._acks[_MOST_AT_ONCE:]
                settlements = self._settlements[:_MOST_AT_ONCE]
                self._settlements = self._settlements[_MOST_AT_ONCE:]
                runs, self._runs = self._runs, {}
                self._tokens = {lease.token for lease in acks}
                self._tokens.update(s.lease.token for s in settlements)
                await self._commit(acks, settlements, runs)
                self._tokens = set()
        finally:
            self._sending = None

    async def _commit(
        self, acks: list[Lease], settlements: list[Settlement], runs: dict[str, list[int]]
    ) -> None:
        run_times = {
            queue: RunTime(count=count, total_us=total, squares_ms2=squares)
            for queue, (count, total, squares) in runs.items()
        }
        again = False
        while True:
            try:
                refusals = await self._store.commit(
                    self._session(), acks=acks, settlements=settlements, run_times=run_times
                )
            except StoreError as error:
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

    async def drained(self) -> None:
        """Return when everything is committed."""
        while self._sending is not None:
            await asyncio.shield(self._sending)

    def abandon(self) -> None:
        """Stop trying; what is not committed will be reclaimed and run again."""
        if self._sending is not None:
            self._sending.cancel()
