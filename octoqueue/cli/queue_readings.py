"""Reading queues again and again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from octoqueue.cli.queue_views import QueueView, Reading, view_of
from octoqueue.errors import QueueUnknown
from octoqueue.lanes.protocol import LaneStore
from octoqueue.primitives.clock import Clock, SystemClock


async def require_known(store: LaneStore, names: Sequence[str]) -> None:
    """Return when all of these queues have ever been used.

    Raises:
        QueueUnknown: one has not; names it and those that have.
    """
    if names:
        known = await store.queues()
        for name in names:
            if name not in known:
                raise QueueUnknown(name, known=known)


class QueueReader:
    """Reads some queues, or all there are, and remembers the readings of a while."""

    def __init__(
        self,
        store: LaneStore,
        names: Sequence[str],
        *,
        remembered: int = 1,
        clock: Clock | None = None,
    ) -> None:
        """Prepare.

        Args:
            store: where they are.
            names: which; all when there are none.
            remembered: how many readings before the last are kept.
            clock: for tests.
        """
        self._store = store
        self._names = tuple(names)
        self._clock = clock or SystemClock()
        self._readings: deque[dict[str, Reading]] = deque(maxlen=remembered + 1)

    async def read(self) -> None:
        """Read all queues once."""
        names = self._names or await self._store.queues()
        found = await asyncio.gather(*(self._store.stats(name) for name in names))
        now_seconds = self._clock.monotonic()
        self._readings.append({stats.queue: Reading(stats, now_seconds) for stats in found})

    def views(self, *, recent: bool = False) -> list[QueueView]:
        """Return the queues of the last reading.

        Rates are since the reading before; with `recent`, rates and percentiles are since the
        first that is remembered.
        """
        last = self._readings[-1]
        earlier = list(self._readings)[:-1]
        if not recent:
            earlier = earlier[-1:]
        return [
            view_of(
                now,
                next((one[name] for one in earlier if name in one), None),
                recent=recent,
            )
            for name, now in last.items()
        ]
