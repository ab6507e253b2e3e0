"""`Cancels`: stops running messages that somebody has cancelled.

A cancelled message has its tombstone in the store before anybody is told, so telling may fail: a
publish that is lost, or that comes before the message is known to run here, is made good by asking
as often as the heartbeat beats.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.runtime.heartbeat import BEATS_A_LEASE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.clock import Clock
    from octoqueue.runtime.executor import Executor

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.5


class Cancels:
    """Listens for one worker."""

    def __init__(
        self, store: LaneStore, executor: Executor, queues: Sequence[str], *, clock: Clock
    ) -> None:
        self._store = store
        self._executor = executor
        self._queues = queues
        self._clock = clock
        self._floor = store.options.lease / BEATS_A_LEASE

    async def run(self) -> None:
        """Listen until cancelled."""
        down = False
        while True:
            try:
                await self._store.wait_for_cancel(self._queues, timeout=self._floor)
                await self._look()
                down = False
            except StoreError as error:
                if not down:
                    log.warning("cancels_not_heard", extra={"reason": str(error)})
                down = True
                await self._clock.sleep(_AGAIN_SECONDS)
            except Exception:
                log.exception("cancels_not_heard")
                await self._clock.sleep(_AGAIN_SECONDS)

    async def _look(self) -> None:
        """Stop what runs here and is cancelled."""
        running = self._executor.message_ids()
        if not running:
            return
        for message_id, reason in (await self._store.cancelled(running)).items():
            self._executor.cancel(message_id, reason)
