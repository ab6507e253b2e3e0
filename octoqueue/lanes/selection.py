"""What to claim from next. Pure.

Which partition gives how many, when each must be asked by itself (Redis Cluster): on a single Redis
one script sees all partitions and needs none of this. And which queues are asked together, when
somebody works for so many that one call would be long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from octoqueue.primitives.lane import LANES, Lane

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


def allocate(
    depths: Sequence[Sequence[Sequence[int]]], *, limit: int, rotation: int = 0
) -> list[int]:
    """Return how many messages to claim from each partition.

    `depths[partition][queue][lane]` are waiting messages. Lanes are served strictly: no partition
    is asked for a lower lane while another still has a higher one. Within a lane the round starts
    at partition `rotation`, so that no partition is always first. The sum never exceeds `limit`.
    """
    count = len(depths)
    wanted = [0] * count
    left = limit
    lanes = max((len(queue) for partition in depths for queue in partition), default=0)
    for lane in range(lanes):
        for step in range(count):
            partition = (step + rotation) % count
            here = sum(queue[lane] for queue in depths[partition])
            taken = min(here, left)
            wanted[partition] += taken
            left -= taken
    return wanted


class Some(NamedTuple):
    """Queues to claim from together."""

    queues: tuple[str, ...]
    lowest: Lane
    """No lower lane: a queue that is not among these may have something in it."""
    looked_after: str
    """For each queue a digit: the lanes that were said to have something, bit by bit."""


def next_some(
    marked: Mapping[str, int], *, first: Collection[str], most: int, turn: int
) -> tuple[Some, dict[str, int]]:
    """Return which queues to claim from next, and what is left to claim from when they are empty.

    `marked` are the lanes of each queue that may have something, the highest in the lowest bit.
    Lanes are served strictly whatever the queue. The queues in `first` are among the next; of the
    others with equal lanes those that `turn` says, so that none is always first.
    """
    names = list(marked)
    start = turn % len(names)
    names = names[start:] + names[:start]
    names.sort(key=lambda name: _HIGHEST[marked[name]])
    if first:
        names.sort(key=lambda name: name not in first)
    chosen, others = names[:most], names[most:]
    lowest = min((_HIGHEST[marked[name]] for name in others), default=Lane.LOW)
    served = (2 << lowest) - 1
    left = dict(marked)
    for name in chosen:
        left[name] &= ~served
        if not left[name]:
            del left[name]
    digits = "".join(str(marked[name] & served) for name in chosen)
    return Some(tuple(chosen), lowest, digits), left


_HIGHEST = tuple(
    next((lane for lane in LANES if lanes >> lane & 1), Lane.LOW) for lanes in range(8)
)
"""Of lanes given as bits the highest."""
