"""`Claimer`: claims for one worker whenever it has free slots, and has the executor run it.

While messages of one claim begin, the next claim is on its way, so that Redis works while Python
does. Together they never take more than the free slots, nor more than some milliseconds of work
(`pacing.py`). Where a claim came short the worker waits at the doorbell of its queues, and is
leased what made it ring in the same answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, TypeVar

from octoqueue.errors import StoreError
from octoqueue.primitives.messages import Lease, Outcome, SessionId, Settlement
from octoqueue.runtime.orphans import Orphans
from octoqueue.runtime.pacing import HELD_SECONDS, Pace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import timedelta

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.clock import Clock
    from octoqueue.runtime.attempt import Attempt
    from octoqueue.runtime.executor import Executor
    from octoqueue.runtime.settler import Settler

log = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN_SECONDS = 0.5
_MOST_AT_ONCE = 500
"""Messages in one claim: beyond a few hundred a batch gains nothing and delays the others."""
_TURNS_TO_SEND = 2
"""Turns of the loop until a call that was made has left the process."""
_LOOKS_AT_TIME = 4
"""Messages begun between two looks at the clock."""
_COMPANY = 10
"""When less than one slot in so many is free, a claim waits a moment for more."""
_COMPANY_SECONDS = 0.001
_LONG_SECONDS = 0.25
"""A message that is in its thread for so long is none of those that are paced."""
_LOOK_SECONDS = 0.05
"""How often is looked for such ones while others leave no room."""


class Claimer:
    """Owns the slots of one worker."""

    def __init__(
        self,
        broker: LaneBroker,
        *,
        session: SessionId,
        queues: tuple[str, ...],
        slots: int,
        look_every: timedelta,
        on_bell: Callable[[], None] | None,
        on_work: Callable[[], None] | None,
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            broker: knows the gates.
            session: in whose name it is claimed.
            queues: which.
            slots: messages that may run at the same time.
            look_every: how long the doorbell is trusted.
            on_bell: see `Worker`.
            on_work: see `Worker`.
            clock: for tests.
        """
        self._broker = broker
        self._session = session
        self._queues = queues
        self._slots = slots
        self._look_every = look_every
        self._on_bell = on_bell
        self._on_work = on_work
        self._clock = clock
        self.pace = Pace()
        self._room = asyncio.Event()
        self._at_once = min(slots if slots < _COMPANY else (slots + 1) // 2, _MOST_AT_ONCE)
        """Two claims at the same time, each for half of the slots."""
        self._is_stopped = self._is_defined = self._is_paced = self._is_down = False
        self._ahead: asyncio.Task[list[Lease]] | None = None
        self._waiting: asyncio.Future[Any] | None = None
        """What a request to stop ends."""
        self.idle = asyncio.Event()
        """Set when no message runs any more."""
        self.started = asyncio.Event()
        """Set by the first answer to a claim."""
        self._store: LaneStore
        self._executor: Executor
        self._settler: Settler

    @property
    def free(self) -> int:
        """Slots without a message."""
        return self._slots - len(self._executor.running)

    def stop(self) -> None:
        """Claim nothing more."""
        self._is_stopped = True
        self._room.set()
        if self._waiting is not None:
            self._waiting.cancel()

    def freed(self) -> None:
        """Be told that a message ended which had been running."""
        self._room.set()
        if not self._executor.running:
            self.idle.set()

    def ran(self, attempt: Attempt) -> None:
        """Be told of a message that ran in a thread."""
        self.pace.ran(seconds=attempt.run_seconds, cpu_seconds=attempt.cpu_seconds)

    async def run(self, store: LaneStore, executor: Executor, settler: Settler) -> None:
        """Claim until stopped, and begin all that was claimed."""
        self._store, self._executor, self._settler = store, executor, settler
        orphans = Orphans(store, self._session, self._queues, clock=self._clock)
        asked, is_empty = 0, False
        try:
            while self._ahead is not None or not self._is_stopped:
                if self._ahead is None and not self._has_room():
                    await self._wait_for_room()
                    continue
                rung = False
                try:
                    if self._ahead is not None:
                        leases = await self._ahead
                        self._ahead = None
                    elif orphans.is_due:
                        await self._adopt(orphans)
                        continue
                    elif is_empty:
                        asked = self._most()
                        rung, leases = await self._claim_when_rung(asked)
                    else:
                        asked = self._most()
                        leases = await self._claim(asked)
                except StoreError as error:
                    self._ahead, is_empty = None, False
                    orphans.expect()
                    await self._wait_out(error)
                    continue
                self._note_answer()
                self._tell(leases, asked, rung=rung)
                is_empty = len(leases) < asked
                if is_empty or orphans.is_due:
                    await self._start_all(leases)
                else:
                    asked = await self._start_and_claim(leases, asked)
        finally:
            if self._ahead is not None:
                self._ahead.cancel()

    # ── room ─────────────────────────────────────────────────────────────────────────────────────

    def _most(self, taken: int = 0) -> int:
        """Return how many messages the next claim may ask for."""
        room = self.pace.room(free=self.free - taken, in_threads=self._executor.in_threads)
        return min(room, self._at_once)

    def _has_room(self) -> bool:
        now = self._clock.monotonic()
        if self.pace.is_due(now):
            self.pace.read(at=now, cpu=time.process_time())
            if self.free > 0 and not self._most():
                self._executor.set_aside(before=now - _LONG_SECONDS)
        return self._settler.pending <= 4 * self._slots and self._most() > 0

    async def _wait_for_room(self) -> None:
        if self._settler.pending > 4 * self._slots:
            await self._unless_stopped(self._settler.drained())
            return
        self._room.clear()
        if self.free > 0:  # it is the pace that leaves no room: what is in threads may hang
            look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._room.set)
            await self._room.wait()
            look.cancel()
        else:
            self._executor.start_batches()
            await self._room.wait()
        if self.free * _COMPANY < self._slots:
            await self._clock.sleep(_COMPANY_SECONDS)

    # ── claiming ─────────────────────────────────────────────────────────────────────────────────

    async def _claim(self, most: int) -> list[Lease]:
        """Claim, after the gates that this process knows of have been defined."""
        if not self._is_defined:
            gates = self._broker.gates()
            await self._store.define(gates)
            self._is_defined, self._is_paced = True, bool(gates.limits)
        return await self._store.claim(self._session, self._queues, limit=most)

    async def _start_and_claim(self, leases: Sequence[Lease], asked: int) -> int:
        """Begin messages with the next claim on its way; return how much that asks for.

        It leaves before the first of them, or where they compute before the last: then what it
        takes waits for that one only.
        """
        first = len(leases) - 1 if self.pace.is_long(self._at_once) else 0
        await self._start_all(leases[:first])
        if first and self._is_stopped:
            self._hand_back(leases[first:])
            return asked
        asked = await self._claim_ahead(asked, taken=len(leases) - first)
        await self._start_all(leases[first:])
        return asked

    async def _claim_ahead(self, asked: int, *, taken: int) -> int:
        """Send the next claim before what was taken begins; return how much it asks for."""
        most = 0 if self._is_stopped else self._most(taken)
        if not most or (self.free - taken) * _COMPANY < self._slots or self._slots < _COMPANY:
            return asked
        self._ahead = asyncio.ensure_future(self._claim(most))
        for _ in range(_TURNS_TO_SEND):
            await _turn()
        return most

    async def _claim_when_rung(self, most: int) -> tuple[bool, list[Lease]]:
        """Wait for the doorbell, a request to stop, or a while; then claim."""
        answer = await self._unless_stopped(
            self._store.claim_when_rung(
                self._session, self._queues, limit=most, timeout=self._look_every
            )
        )
        return answer or (False, [])

    async def _unless_stopped(self, awaitable: Awaitable[T]) -> T | None:
        """Return what is awaited, or None after a request to stop."""
        self._waiting = waiting = asyncio.ensure_future(awaitable)
        try:
            return await waiting
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if not self._is_stopped or (own is not None and own.cancelling()):
                raise
            return None
        finally:
            waiting.cancel()
            self._waiting = None

    async def _start_all(self, leases: Sequence[Lease]) -> None:
        """Begin messages; let others have the loop when that takes long.

        Those of them that have not begun when a request to stop comes are handed back.
        """
        start, monotonic = self._executor.start, self._clock.monotonic
        began = monotonic()
        count = 0
        if leases:
            self.idle.clear()
        left = iter(leases)
        for lease in left:
            start(lease)
            count += 1
            if not count % _LOOKS_AT_TIME and monotonic() - began > HELD_SECONDS:
                self.pace.began(count, seconds=monotonic() - began)
                await _turn()
                began, count = monotonic(), 0
                if self._is_stopped:
                    self._hand_back(left)
        self.pace.began(count, seconds=monotonic() - began)
        if not self._executor.running:
            self.idle.set()

    def _hand_back(self, leases: Iterable[Lease]) -> None:
        for lease in leases:
            self._settler.settle(Settlement(lease=lease, outcome=Outcome.RELEASE))

    def _tell(self, leases: Sequence[Lease], asked: int, *, rung: bool) -> None:
        """Tell who promotes what a claim has found.

        A claim that came short may have met a rate limit that opens before anything else is due.
        """
        if leases:
            is_short = self._is_paced and len(leases) < asked
            heard = self._on_bell if is_short else self._on_work
        else:
            heard = self._on_bell if rung else None
        if heard is not None:
            heard()

    # ── after trouble ────────────────────────────────────────────────────────────────────────────

    async def _wait_out(self, error: StoreError) -> None:
        if not self._is_down:
            log.warning("claim_failed", extra={"reason": str(error)})
        self._is_down = True
        await self._clock.sleep(AGAIN_SECONDS)

    def _note_answer(self) -> None:
        if self._is_down:
            log.info("store_is_back")
            self._is_down = False
        self.started.set()

    async def _adopt(self, orphans: Orphans) -> None:
        """Run what was leased to this worker by claims whose answer was lost."""
        known = self._settler.tokens().union(self._executor.running)
        for lease in await orphans.found(known):
            if self.free > 0:
                log.info("lease_adopted", extra={"queue": lease.queue})
                await self._start_all([lease])
            else:
                self._hand_back([lease])


async def _turn() -> None:
    """Let everything else that is ready have its turn of the loop."""
    await asyncio.sleep(0)  # noqa: TID251 - no time
