"""`LetterClaimer`: claims letters of the partitions that are held.

Under load a claim waits for the write under way, so that each write carries what has come during
the last one. When nothing comes it waits at the doorbells of its queues. What was leased by a claim
whose answer got lost is looked for afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.orchestrator.pauses import Pauses
from octoqueue.primitives.messages import Outcome, Settlement
from octoqueue.workflows.letters import queue_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.messages import Lease, LeaseToken, SessionId

log = logging.getLogger(__name__)

LISTEN = timedelta(seconds=1)
"""How long the doorbells of a set of partitions are listened to: it may be another set then."""
MOST_AT_ONCE = 500
"""Letters in one claim."""
MOST_IN_HAND = 2_000
"""Letters that are leased and not ended, above which nothing is claimed."""
_LATE_CLAIM_SECONDS = 10.0
"""Longer than a call to the store may take before it is given up."""
_FULL_SECONDS = 0.01
_NOTHING_SECONDS = 0.1


class LetterClaimer:
    """Claims in the name of one session, and knows which letters are in hand."""

    def __init__(
        self,
        store: LaneStore,
        session: SessionId,
        *,
        partitions: Callable[[], Collection[int]],
        opened: Callable[[list[Lease]], None],
        room: Callable[[], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            store: where letters wait.
            session: in whose name they are leased.
            partitions: whose letters are claimed now.
            opened: takes letters.
            room: returns when it is time to claim more.
            clock: for pauses.
        """
        self.in_hand: dict[LeaseToken, str] = {}
        """Letters that are leased and not ended, with their queues."""
        self._store = store
        self._session = session
        self._partitions = partitions
        self._opened = opened
        self._room = room
        self._clock = clock
        self._changed = asyncio.Event()
        self._listening: tuple[str, ...] = ()
        self._looks_at: list[float] = []
        """When to look for letters whose claim was not answered."""
        self._looks_in: set[str] = set()
        """Where: the partitions may be somebody else's by then."""
        self._is_stopped = False

    def stop(self) -> None:
        """Claim nothing more."""
        self._is_stopped = True
        self._changed.set()

    def ended(self, leases: Iterable[Lease]) -> None:
        """Be told of letters that are not in hand any more."""
        for lease in leases:
            self.in_hand.pop(lease.token, None)

    async def changed(self) -> None:
        """Wake up: there are other partitions to claim for, or none."""
        self._changed.set()
        if self._listening:
            with contextlib.suppress(StoreError):
                await self._store.ring(self._listening[:1])

    async def run(self) -> None:
        """Claim until stopped."""
        pauses = Pauses("claim")
        came_short = False
        while not self._is_stopped:
            queues = tuple(queue_of(partition) for partition in sorted(self._partitions()))
            self._changed.clear()
            if not queues and not self._looks_at:
                await self._changed.wait()
                continue
            await self._room()
            while len(self.in_hand) > MOST_IN_HAND and not self._is_stopped:
                await self._clock.sleep(_FULL_SECONDS)
            try:
                leases = await self._claim(queues, listens=came_short)
            except StoreError as error:
                came_short = False
                now = self._clock.monotonic()
                self._looks_at = [now, now + _LATE_CLAIM_SECONDS]
                self._looks_in.update(queues)
                await self._clock.sleep(pauses.after(error))
                continue
            pauses.over()
            came_short = len(leases) < MOST_AT_ONCE
            if leases:
                self.in_hand.update((lease.token, lease.queue) for lease in leases)
                self._opened(leases)

    async def _claim(self, queues: tuple[str, ...], *, listens: bool) -> list[Lease]:
        if self._looks_at and self._clock.monotonic() >= self._looks_at[0]:
            held = await self._store.held(self._session, sorted(self._looks_in))
            self._looks_at.pop(0)
            if not self._looks_at:
                self._looks_in.clear()
            return [lease for lease in held if lease.token not in self.in_hand]
        if not queues:
            await self._clock.sleep(_NOTHING_SECONDS)
            return []
        if not listens or self._is_stopped:
            return await self._store.claim(self._session, queues, limit=MOST_AT_ONCE)
        self._listening = queues
        try:
            _, leases = await self._store.claim_when_rung(
                self._session, queues, limit=MOST_AT_ONCE, timeout=LISTEN
            )
        finally:
            self._listening = ()
        return leases

    async def give_back(self, partitions: Iterable[int]) -> None:
        """Give back what is still leased: nobody here will end it.

        Raises:
            StoreError: the store is gone; the letters come back when the session has expired.
        """
        queues = tuple(queue_of(partition) for partition in partitions)
        left = await self._store.held(self._session, queues)
        if left:
            release = [Settlement(lease=lease, outcome=Outcome.RELEASE) for lease in left]
            await self._store.commit(self._session, settlements=release)
        self.in_hand.clear()
