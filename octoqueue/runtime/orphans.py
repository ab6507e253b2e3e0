"""`Orphans`: messages leased to this worker by claims whose answer never arrived.

After an outage they are looked for at once, and once more a while later: a claim that was given up
may reach a store that was only stalled after all, when the first look is already over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.primitives.messages import Outcome, Settlement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.messages import Lease, LeaseToken, SessionId

LATE_CLAIM_SECONDS = 10.0
"""Longer than a call to the store may take before it is given up."""


class Orphans:
    """Knows when to look for orphans, and finds them."""

    def __init__(
        self, store: LaneStore, session: SessionId, queues: Sequence[str], *, clock: Clock
    ) -> None:
        self._store = store
        self._session = session
        self._queues = queues
        self._clock = clock
        self._looks_at: list[float] = []

    def expect(self) -> None:
        """An answer was lost: look now and later."""
        now = self._clock.monotonic()
        self._looks_at = [now, now + LATE_CLAIM_SECONDS]

    @property
    def is_due(self) -> bool:
        """Whether it is time to look."""
        return bool(self._looks_at) and self._clock.monotonic() >= self._looks_at[0]

    async def found(self, known: Iterable[LeaseToken]) -> list[Lease]:
        """Return the leases of this session that are not `known` to be in use.

        `known` is taken before the store is asked, because what ends meanwhile is no orphan; and
        nothing may be claimed meanwhile.
        """
        in_use = frozenset(known)
        held = await self._store.held(self._session, self._queues)
        orphans = await self._to_run([lease for lease in held if lease.token not in in_use])
        self._looks_at.pop(0)
        return orphans

    async def _to_run(self, orphans: list[Lease]) -> list[Lease]:
        """End those that were cancelled before they ever started; return the others."""
        idents = [lease.message_id for lease in orphans]
        cancelled = await self._store.cancelled(idents) if idents else {}
        gone = [
            Settlement(lease=lease, outcome=Outcome.CANCEL)
            for lease in orphans
            if lease.message_id in cancelled
        ]
        if gone:
            await self._store.commit(self._session, settlements=gone)
        return [lease for lease in orphans if lease.message_id not in cancelled]
