"""Rate: so many events a second and worker.

    workers = ceil((requests + arriving messages + waiting ones / 60, a second) / rate of a worker)

For what scales by throughput: an HTTP edge says the requests it answers, a queue counts arrivals.
What waits is to be caught up on within a minute: a fleet that is just large enough for what arrives
would never get over an outage. Weakness: requests are counted when answered, so an edge that is too
small is seen too small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.scaling.demand import Demand, number, whole_workers
from octoqueue.scaling.depth import left_out_words

if TYPE_CHECKING:
    from octoqueue.scaling.load import Load
    from octoqueue.scaling.policy import RateTarget, ScalingPolicy

_CAUGHT_UP_SECONDS = 60


def demand_by_rate(load: Load, target: RateTarget, policy: ScalingPolicy) -> Demand:
    """Return the workers that the present rate takes."""
    waiting = sum(load.waiting)
    rate = load.requests_per_second + load.arrivals_per_second + waiting / _CAUGHT_UP_SECONDS
    behind = f", {number(waiting)} that wait counted over a minute" if waiting else ""
    workers = whole_workers(rate / target.per_second_and_worker)
    busy = whole_workers(load.in_flight / policy.slots_per_worker)
    floor = max(busy, 1 if load.in_system > 0 else 0)
    running = f"; {number(load.in_flight)} run now" if floor > workers else ""
    return Demand(
        rule="rate",
        workers=max(workers, floor),
        reason=f"{number(rate)} a second at {number(target.per_second_and_worker)} a worker{behind}"
        f"{running}{left_out_words(load)}",
    )
