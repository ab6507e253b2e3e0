"""Latency: the waiting time that was observed stays below a bound.

    workers = ceil((a + late * s / target) / slots a worker)

a is what arrivals keep busy (arrivals a second times mean service seconds s), `late` the messages
to be caught up on within the target: those that wait, or those that by Little's law waited too
long, arrivals times (observed - target), whichever are more. While a gate holds messages
back only those that wait for a worker count: how long others waited says nothing of workers.

That stands on arrivals and work, not on how many workers there are: an observed percentile stays
high until long after help has come, and a plain ratio of it would multiply the fleet at each look.
While nothing has ended, so that s is unknown, a breach asks for one worker more than are ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.scaling.demand import Demand, number, several, whole_workers
from octoqueue.scaling.depth import left_out_words

if TYPE_CHECKING:
    from octoqueue.scaling.load import Load
    from octoqueue.scaling.policy import LatencyTarget, ScalingPolicy


def demand_by_latency(load: Load, target: LatencyTarget, policy: ScalingPolicy) -> Demand:
    """Return the workers with which waiting falls, or stays, below the target."""
    observed = load.wait_seconds(target.percentile)
    said = (
        f"P{target.percentile * 100:g} of the wait is {number(observed)} s, the target "
        f"{number(target.seconds)} s"
    )
    waiting = sum(load.waiting) + load.due_soon
    if load.service is None:
        workers = whole_workers(load.in_flight / policy.slots_per_worker)
        if observed > target.seconds and waiting > 0:
            workers = max(workers, load.ready_workers + 1)
        return Demand(
            rule="latency",
            workers=max(workers, 1 if load.in_system > 0 else 0),
            reason=f"{said}; service time unknown, so a breach asks for one worker more than the "
            f"{load.ready_workers} that are ready{left_out_words(load)}",
        )
    mean = load.service.mean_seconds
    arriving = load.arrivals_per_second
    late = waiting
    if not load.held_back:  # else waits tell how long gates were closed
        late = max(late, arriving * max(observed - target.seconds, 0.0))
    slots = max(arriving * mean + late * mean / target.seconds, load.in_flight)
    # Whatever is late, each message takes one slot at most.
    slots = min(slots, max(load.in_flight, arriving * mean) + late)
    workers = whole_workers(slots / policy.slots_per_worker)
    return Demand(
        rule="latency",
        workers=max(workers, 1 if load.in_system > 0 else 0),
        reason=f"{said}; {number(arriving)} messages a second of {number(mean)} s and "
        f"{number(late)} to catch up on take {several(slots, 'slot')}{left_out_words(load)}",
    )
