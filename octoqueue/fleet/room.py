"""How many workers a machine has room for. Pure."""

from __future__ import annotations

from dataclasses import dataclass

ASSUMED_WORKER_BYTES = 128 << 20
"""What a worker is taken to need while none has been measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many there may be, and what bounds them."""

    workers: int
    reason: str


def room_for(
    *,
    running: int,
    used_bytes: int,
    max_processes: int,
    max_memory_bytes: int,
) -> Room:
    """Return how many workers may run.

    A worker more is taken to need what those that run need on the average, so the memory bounds
    the number: `max_memory_bytes / mean`. Who already runs is counted with what it really has.

    Args:
        running: workers that run.
        used_bytes: resident memory of those.
        max_processes: the bound of their number.
        max_memory_bytes: the bound of their memory.
    """
    mean_bytes = used_bytes / running if running and used_bytes else ASSUMED_WORKER_BYTES
    by_memory = int(max_memory_bytes / mean_bytes)
    if by_memory < max_processes:
        return Room(
            workers=by_memory,
            reason=(
                f"memory: {_mebibytes(max_memory_bytes)} MiB for workers of "
                f"{_mebibytes(mean_bytes)} MiB"
            ),
        )
    return Room(workers=max_processes, reason=f"agent.max_processes: {max_processes}")


def _mebibytes(size: float) -> int:
    return round(size / (1 << 20))
