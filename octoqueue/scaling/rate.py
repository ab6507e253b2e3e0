"""Rate: so many events a second and worker.

    workers = ceil((requests + arriving messages, a second) / rate of a worker)

For what scales by throughput: an HTTP edge says the requests it answers, a queue counts arrivals.
Weakness: requests are counted when answered, so an edge that is too small is seen too small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.scaling.demand import Demand, number, whole_workers
from octoqueue.scaling.depth import left_out_words

if TYPE_CHECKING:
    from octoqueue.scaling.load import Load
    from octoqueue.scaling.policy import RateTarget, ScalingPolicy


def demand_by_rate(load: Load, target: RateTarget, policy: ScalingPolicy) -> Demand:
    """Return the workers that the present rate takes."""
    rate = load.requests_per_second + load.arrivals_per_second
    workers = whole_workers(rate / target.per_second_and_worker)
    busy = whole_workers(load.in_flight / policy.slots_per_worker)
    floor = max(busy, 1 if load.in_system > 0 else 0)
    running = f"; {number(load.in_flight)} run now" if floor > workers else ""
    return Demand(
        rule="rate",
        workers=max(workers, floor),
        reason=f"{number(rate)} a second at {number(target.per_second_and_worker)} a worker"
        f"{running}{left_out_words(load)}",
    )
