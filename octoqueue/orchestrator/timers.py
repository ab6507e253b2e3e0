"""`Timers`: what is due soon. Pure.

Only what is due within a horizon is kept here; the rest stays in the store, which is asked again
before the horizon is reached. A timer whose step has ended meanwhile rings for nothing.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from octoqueue.workflows.executions import ExecutionId
    from octoqueue.workflows.protocol import Timer

_Place = tuple["ExecutionId", str]


class Timers:
    """A heap of timers, each known once."""

    def __init__(self, *, horizon_ms: int) -> None:
        """Keep what is due within `horizon_ms`."""
        self.horizon_ms = horizon_ms
        self._heap: list[tuple[int, ExecutionId, str, int]] = []
        self._due: dict[_Place, int] = {}
        """When each rings; an entry of the heap that says something else counts for nothing."""
        self.sooner: Callable[[], object] = _nobody_waits
        """Called when one is due before all that were kept."""

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._due)

    def add(self, timers: Iterable[Timer], *, now_ms: int) -> None:
        """Keep those that are due within the horizon; one known by another time gets this one."""
        until_ms, first_ms = now_ms + self.horizon_ms, self.next_at_ms()
        for timer in timers:
            place = (timer.execution_id, timer.step)
            if timer.due_at_ms > until_ms or self._due.get(place) == timer.due_at_ms:
                continue
            self._due[place] = timer.due_at_ms
            heappush(self._heap, (timer.due_at_ms, *place, timer.partition))
        if self._heap and (first_ms is None or self._heap[0][0] < first_ms):
            self.sooner()

    def discard(self, execution_id: ExecutionId, step: str) -> None:
        """Forget one, if it is kept: its step has ended."""
        self._due.pop((execution_id, step), None)

    def due(self, *, now_ms: int) -> list[tuple[ExecutionId, str, int]]:
        """Take and return what is due: execution, step and partition, soonest first."""
        found: list[tuple[ExecutionId, str, int]] = []
        while self._heap and self._heap[0][0] <= now_ms:
            due_at_ms, execution_id, step, partition = heappop(self._heap)
            if self._due.get((execution_id, step)) == due_at_ms:
                del self._due[execution_id, step]
                found.append((execution_id, step, partition))
        return found

    def next_at_ms(self) -> int | None:
        """Return when the next one may be due, None when none is kept."""
        return self._heap[0][0] if self._heap else None

    def drop(self, partition: int) -> None:
        """Forget those of a partition."""
        gone = {(entry[1], entry[2]) for entry in self._heap if entry[3] == partition}
        self._heap = [entry for entry in self._heap if entry[3] != partition]
        heapify(self._heap)
        for place in gone:
            self._due.pop(place, None)


def _nobody_waits() -> None:
    """Nobody waits for the first one."""
