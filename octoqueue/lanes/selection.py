"""Which partition gives how many, when each must be asked by itself (Redis Cluster). Pure.

On a single Redis one script sees all partitions and needs none of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


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
