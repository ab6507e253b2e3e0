"""`MemoryDeadLetters`: what somebody decides about the memory store's dead letters."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import LaneFull
from octoqueue.primitives.envelope import unpack_header
from octoqueue.primitives.lane import Lane
from octoqueue.testing.memory_upkeep import MemoryUpkeep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.primitives.ids import MessageId


class MemoryDeadLetters(MemoryUpkeep):
    """Replays and purges."""

    async def replay(
        self, queue: str, message_ids: Sequence[MessageId], *, over_bound: bool = False
    ) -> list[MessageId]:
        """Put dead letters back at the tail of their lanes."""
        here = self._queue(queue)
        letters = here.replayable(message_ids)
        taken = self._unique.taken(letters, self._clock.now_ms())
        if taken is not None:
            raise taken
        needs = Counter(unpack_header(letter.payload).lane for letter in letters)
        for lane in Lane:
            depth, bound = here.depth(lane), self.options.bound(queue, lane)
            if needs[lane] and depth + needs[lane] > bound and not over_bound:
                raise LaneFull(queue, lane.label, depth=depth, bound=bound)
        for letter in letters:
            if self._unique.holder(letter.payload, self._clock.now_ms()) is None:
                self._unique.take(letter.payload, self._clock.now_ms())
            self._tombstones.pop(letter.message_id, None)
            here.replay(letter, self._gates, self._clock.now_ms())
            self._results.drop(letter.message_id)
            self._events.drop(letter.message_id)
            self._history.drop(letter.message_id)
            self._ring(queue)
        return [letter.message_id for letter in letters]

    async def purge(
        self,
        queue: str,
        message_ids: Sequence[MessageId] = (),
        *,
        older_than: timedelta | None = None,
    ) -> int:
        """Remove dead letters for good."""
        age_ms = None if older_than is None else older_than // timedelta(milliseconds=1)
        here = self._queue(queue)
        for named in here.dead.keys() & set(message_ids):
            self._history.drop(named)
        return here.purge(message_ids, age_ms, self._clock.now_ms())
