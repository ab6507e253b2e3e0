"""`SessionKeeper`: the lease session of a stock dramatiq worker, and the upkeep it needs.

Our own worker has its heartbeat and its maintenance services; a process that runs dramatiq's
`Worker` has neither, so the broker keeps one session alive for all its consumers and moves due and
lost messages of the queues it consumes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import Counter
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.gates import Gates
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.messages import Lease, LeaseToken, Outcome, SessionId, Settlement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from octoqueue.lanes.protocol import LaneStore

log = logging.getLogger(__name__)

_UPKEEP_SECONDS = 0.2
_LEAST_SECONDS = 0.001
_BEATS_A_LEASE = 4


def new_session() -> SessionId:
    """Return a session name that says where it lives and never comes again."""
    return SessionId(f"{socket.gethostname()}-{os.getpid()}-{new_message_id().hex()[-12:]}")


class SessionKeeper:
    """Owns the session of one broker in one process, and knows which leases are in use."""

    def __init__(
        self,
        opened_store: Callable[[], Awaitable[LaneStore]],
        *,
        gates: Callable[[], Gates] = Gates,
        clock: Clock | None = None,
    ) -> None:
        """Prepare.

        Args:
            opened_store: the store of the running loop.
            gates: what this process knows of caps, limits and shares, for the store.
            clock: for tests.
        """
        self.opened_store = opened_store
        self._gates = gates
        self.clock = clock or SystemClock()
        self._queues: set[str] = set()
        self._in_hand: dict[LeaseToken, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._pid = 0
        self._nudged = asyncio.Event()
        self.session = SessionId("")

    async def watch(self, queue: str) -> None:
        """Keep the session alive from now on, and look after `queue`."""
        if self._pid != os.getpid():  # the first time, or in the child of a fork
            self._pid, self._task = os.getpid(), None
            self._nudged = asyncio.Event()
            self._queues.clear()
            self._in_hand.clear()
        self._queues.add(queue)
        if self._task is None:
            self.session = new_session()
            store = await self.opened_store()
            await store.extend(self.session)
            await store.define(self._gates())
            self._task = asyncio.create_task(self._keep())

    # ── leases in use; called by any thread ──────────────────────────────────────────────────────

    def take_in_hand(self, leases: Iterable[Lease]) -> None:
        """Remember leases somebody in this process will settle."""
        for lease in leases:
            self._in_hand[lease.token] = lease.queue

    def let_go(self, leases: Iterable[Lease]) -> None:
        """Forget leases: they are settled, or nobody here will."""
        for lease in leases:
            self._in_hand.pop(lease.token, None)

    def count_in_hand(self, queue: str) -> int:
        """Return how many leases of a queue are in use."""
        return Counter(tuple(self._in_hand.values()))[queue]

    async def orphans(self, queue: str) -> list[Lease]:
        """Return what this session holds of a queue without anybody using it, now in hand."""
        known = set(self._in_hand)
        held = await (await self.opened_store()).held(self.session, [queue])
        orphans = [lease for lease in held if lease.token not in known]
        self.take_in_hand(orphans)
        return orphans

    def nudge(self) -> None:
        """Look now: a message may be due earlier than thought. Called on the session's loop."""
        self._nudged.set()

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────

    async def _keep(self) -> None:
        store = await self.opened_store()
        beat_seconds = store.options.lease.total_seconds() / _BEATS_A_LEASE
        next_beat, down = self.clock.monotonic() + beat_seconds, False
        wait_seconds = longest_seconds = min(_UPKEEP_SECONDS, beat_seconds)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._nudged.wait()
            self._nudged.clear()
            wait_seconds = longest_seconds
            try:
                if self.clock.monotonic() >= next_beat:
                    next_beat = self.clock.monotonic() + beat_seconds
                    await store.extend(self.session)
                    await store.reclaim()
                for queue in tuple(self._queues):
                    next_due = (await store.promote(queue)).next_due
                    if next_due is not None:
                        due_seconds = max(next_due.total_seconds(), _LEAST_SECONDS)
                        wait_seconds = min(wait_seconds, due_seconds)
                down = False
            except StoreError as error:
                if not down:
                    log.warning("upkeep_failed", extra={"reason": str(error)})
                down = True
            except Exception:
                log.exception("upkeep_failed")

    async def stop(self) -> None:
        """End the session, handing back what nobody has settled. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        with contextlib.suppress(StoreError):
            store = await self.opened_store()
            left = await store.held(self.session, sorted(self._queues))
            if left:
                release = [Settlement(lease=lease, outcome=Outcome.RELEASE) for lease in left]
                await store.commit(self.session, settlements=release)
            await store.retire(self.session)
