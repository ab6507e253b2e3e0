"""What a store on Redis must know of the configuration."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.events import Keeping
from octoqueue.primitives.gates import Aging
from octoqueue.primitives.history import KEPT_FOR

if TYPE_CHECKING:
    from octoqueue.settings.root import Settings


def lane_options_from(settings: Settings) -> LaneOptions:
    """Return what a store must know of the configuration."""
    lanes = settings.lanes

    def bounds(queue: str) -> LaneBounds:
        own = lanes.bounds_of(queue)
        return LaneBounds(high=own.high, normal=own.normal, low=own.low)

    return LaneOptions(
        namespace=settings.namespace,
        partitions=lanes.partitions,
        lease=lanes.lease,
        default_bounds=LaneBounds(
            high=lanes.bounds.high, normal=lanes.bounds.normal, low=lanes.bounds.low
        ),
        bounds={queue: bounds(queue) for queue in lanes.queues},
        delayed_bound=lanes.delayed_bound,
        history_ttl=lanes.dead_letter_ttl or KEPT_FOR,
        aging=Aging(normal=lanes.aging.normal, low=lanes.aging.low),
        events=Keeping(
            bound=settings.events.kept,
            ttl_ms=settings.events.ttl // timedelta(milliseconds=1),
        ),
    )
