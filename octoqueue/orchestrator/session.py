"""`LetterSession`: keeps the leases of letters alive, and notices when Redis has lost its memory.

Claims register the session they are made for, so that alone it would seem to have lived on. A
second session of ours, in whose name nothing is ever claimed, tells: when it is gone, so is all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.broker.session_keeper import new_session
from octoqueue.errors import StoreError
from octoqueue.orchestrator.pauses import Pauses
from octoqueue.primitives.messages import SessionId

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.signals import Presence

_BEATS_A_LEASE = 4


class LetterSession:
    """The session of one orchestrator."""

    def __init__(
        self,
        lanes: LaneStore,
        *,
        lost: Callable[[], None],
        presence: Callable[[str], Presence | None] = lambda _: None,
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            lanes: where the letters wait.
            lost: told when what was in Redis is there no more.
            presence: what the orchestrator says of itself with each beat, given its session.
            clock: for tests.
        """
        self.name = new_session()
        self._witness = SessionId(f"{self.name}-witness")
        self._lanes = lanes
        self._lost = lost
        self._presence = presence
        self._clock = clock

    async def run(self) -> None:
        """Keep the session alive until cancelled."""
        every_seconds = self._lanes.options.lease.total_seconds() / _BEATS_A_LEASE
        pauses = Pauses("heartbeat")
        is_known = False
        while True:
            try:
                await self._lanes.extend(self.name, self._presence(self.name))
                is_there = await self._lanes.extend(self._witness)
            except StoreError as error:
                await self._clock.sleep(min(pauses.after(error), every_seconds))
                continue
            pauses.over()
            if is_known and not is_there:
                self._lost()
            is_known = True
            await self._clock.sleep(every_seconds)

    async def retire(self) -> None:
        """End the session.

        Raises:
            StoreError: the store is gone; it expires.
        """
        await self._lanes.retire(self.name)
        await self._lanes.retire(self._witness)
