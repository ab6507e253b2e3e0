"""`snapshot_from`: all signals of a fleet at one moment, for whoever decides or shows them.

What was read of the store, and what was measured or made elsewhere: a forecast, the lead time. Ages
come from the store's clock: a snapshot that is too old is the caller's to refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from octoqueue.primitives.queue_names import LETTERS_PREFIX
from octoqueue.primitives.signals import FleetSnapshot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from octoqueue.primitives.signals import ArrivalForecast, SignalReading


class ReadsSignals(Protocol):
    """What reading needs of a lane store."""

    async def read_signals(
        self, queues: Sequence[str], *, due_within: timedelta, fleet: str = ""
    ) -> SignalReading:
        """Read all scaling signals of some queues, and who works for them."""
        ...


def orchestrator_queues(partitions: int) -> tuple[str, ...]:
    """Return the queues of a fleet of orchestrators: one a partition."""
    return tuple(f"{LETTERS_PREFIX}{partition}" for partition in range(partitions))


def snapshot_from(
    reading: SignalReading,
    fleet: str,
    *,
    forecast: ArrivalForecast | None = None,
    lead_seconds: float | None = None,
) -> FleetSnapshot:
    """Return the snapshot of a fleet that a reading makes. Pure.

    Its workers are those that say so, and those that say no fleet but serve its queues. Those of
    another fleet that serves the same queues are not this one's to keep, to protect or to count.
    """
    return FleetSnapshot(
        fleet=fleet,
        taken_at_ms=reading.taken_at_ms,
        queues=reading.queues,
        workers=tuple(worker for worker in reading.workers if worker.fleet in {fleet, ""}),
        forecast=forecast,
        lead_seconds=lead_seconds,
    )
