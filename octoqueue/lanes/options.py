"""What a lane store must be told: partitions, lease, bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.primitives.events import Keeping
from octoqueue.primitives.gates import NO_AGING, Aging
from octoqueue.primitives.history import KEPT_FOR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octoqueue.primitives.lane import Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneBounds:
    """How many messages may wait in each lane of one queue."""

    high: int = 1_000
    normal: int = 5_000
    low: int = 10_000

    def of(self, lane: Lane) -> int:
        """Return the bound of `lane`."""
        return (self.high, self.normal, self.low)[lane]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOptions:
    """The shape of a namespace; every process that shares it must use the same partitions."""

    namespace: str = "oq"
    partitions: int = 10
    lease: timedelta = timedelta(seconds=10)
    """How long a session lives without renewing itself."""
    default_bounds: LaneBounds = field(default_factory=LaneBounds)
    bounds: Mapping[str, LaneBounds] = field(default_factory=dict[str, LaneBounds])
    """Bounds by queue, where they differ from the default."""
    delayed_bound: int = 100_000
    """Delayed messages of one queue."""
    aging: Aging = NO_AGING
    """After how long a message that waits moves up a lane."""
    history_ttl: timedelta = KEPT_FOR
    """How long it is known how the attempts of a message ended, after the last of them."""
    events: Keeping = field(default_factory=Keeping)
    """How much is kept of what a message tells."""

    def bound(self, queue: str, lane: Lane) -> int:
        """Return the bound of one lane of one queue."""
        return self.bounds.get(queue, self.default_bounds).of(lane)

    @property
    def lease_ms(self) -> int:
        """The lease in milliseconds."""
        return self.lease // timedelta(milliseconds=1)

    @property
    def history_ttl_ms(self) -> int:
        """`history_ttl` in milliseconds."""
        return self.history_ttl // timedelta(milliseconds=1)
