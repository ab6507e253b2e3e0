"""`LaneSettings`: how much may wait, how long a claim holds, when a message is given up."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from octoqueue.settings.names import QueueName
from octoqueue.settings.quantities import (
    Duration,
    PositiveCount,
    PositiveDuration,
    PositiveSize,
    at_least,
)
from octoqueue.settings.section import Section, empty_if_none


class LaneBounds(Section):
    """How many messages may wait in each lane of a queue before it says that it is full."""

    high: PositiveCount = 1_000
    """Messages waiting in `high`, at most."""

    normal: PositiveCount = 5_000
    """Messages waiting in `normal`, at most."""

    low: PositiveCount = 10_000
    """Messages waiting in `low`, at most."""


class QueueSettings(Section):
    """What one queue does differently; what is not given comes from `lanes.bounds`."""

    high: PositiveCount | None = None
    """Messages waiting in `high`, at most; without a number, `lanes.bounds.high`."""

    normal: PositiveCount | None = None
    """Messages waiting in `normal`, at most; without a number, `lanes.bounds.normal`."""

    low: PositiveCount | None = None
    """Messages waiting in `low`, at most; without a number, `lanes.bounds.low`."""

    concurrency: PositiveCount | None = None
    """Messages of the queue that run at the same time in all workers together, at most; without a
    number, as many as the workers have slots."""


class AgingSettings(Section):
    """How long a message waits before it moves up one lane, so that `low` cannot starve."""

    normal: PositiveDuration | None = None
    """After so long a message in `normal` moves to `high`; without a duration, never."""

    low: PositiveDuration | None = None
    """After so long a message in `low` moves to `normal`; without a duration, never."""


class LaneSettings(Section):
    """The lanes of all queues."""

    partitions: Annotated[PositiveCount, Field(le=1_024)] = 10
    """Slices that everything is divided into. Changing it while messages wait strands those whose
    partition is no longer read; drain first."""

    lease: Annotated[Duration, at_least(timedelta(seconds=1))] = timedelta(seconds=10)
    """How long a worker's claim outlives its last heartbeat; then others take its messages."""

    max_deliveries: PositiveCount = 5
    """How many workers a message may take down before it goes to the dead letters."""

    max_payload_bytes: Annotated[PositiveSize, Field(ge=2**10, le=512 * 2**20)] = 2**20
    """Size of one message, header included, at most."""

    delayed_bound: PositiveCount = 100_000
    """Delayed messages of one queue, at most."""

    dead_letter_ttl: PositiveDuration | None = timedelta(days=30)
    """How long dead letters are kept; workers remove older ones of their queues for good. `null`
    keeps them until somebody purges them."""

    bounds: LaneBounds = LaneBounds()
    """The bounds of every queue that `lanes.queues` does not name."""

    aging: AgingSettings = AgingSettings()
    """Off unless a duration is given: then a message in a higher lane may wait behind one that came
    from a lower lane."""

    queues: Annotated[dict[QueueName, QueueSettings], BeforeValidator(empty_if_none)] = Field(
        default_factory=dict
    )
    """What single queues do differently, by name."""

    def bounds_of(self, queue: str) -> LaneBounds:
        """Return the bounds that hold for `queue`."""
        own = self.queues.get(queue)
        if own is None:
            return self.bounds
        given = own.model_dump(exclude_none=True, exclude={"concurrency"})
        return self.bounds.model_copy(update=given)
