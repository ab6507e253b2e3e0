"""What waits in a queue of the memory store and could not be started by more workers."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from octoqueue.primitives.lane import LANES
from octoqueue.testing.memory_selection import gates_of

if TYPE_CHECKING:
    from octoqueue.testing.memory_gates import LimitKey, MemoryGates
    from octoqueue.testing.memory_queue import MemoryQueue


def held_back(
    queue: MemoryQueue, gates: MemoryGates, *, now_ms: float, until_ms: float
) -> list[int]:
    """Return how many of each lane no worker could start by a moment."""
    room = math.inf if queue.paused else queue.room(gates)
    granted: Counter[str | LimitKey] = Counter()
    held: list[int] = []
    for lane in LANES:
        startable: float = len(queue.ready[lane])
        for _, line in sorted(queue.lines[lane].waiting.items()):
            startable += gates.startable(
                queue.name,
                gates_of(line[0]),
                len(line),
                now_ms=now_ms,
                until_ms=until_ms,
                granted=granted,
            )
        startable = min(startable, room)
        room -= startable
        held.append(queue.depth(lane) - int(startable))
    return held
