"""Backlog: what it takes to start, in time, all that waits. A fluid.

S slots start S + S D / s messages within D, of which the F that run have started already. So N that
wait, and those that arrive meanwhile, take (N + F + rate D) / (1 + D / s) slots.

Where that is more than are ready, new workers have to start only what will still wait when they are
ready: less what the ready slots do until then, and those that were asked for before. As long as
there is more to do than the ready slots can, those that were asked for are not sent away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from octoqueue.primitives.lane import LANES
from octoqueue.scaling.finishing import wait_bound

if TYPE_CHECKING:
    from octoqueue.scaling.load import Load, Service
    from octoqueue.scaling.policy import Objective

KEPT_SECONDS = 600.0
"""What the ready slots have to do for longer than this is not left to fewer."""

_LEAST_DRAIN_SECONDS = 1e-3


class Drain(NamedTuple):
    """What it takes to start a backlog in time."""

    slots: float
    left: float
    """Messages that new workers would have to start; 0: the slots that are ready will do."""


def drain_of(objective: Objective, load: Load, service: Service) -> Drain:
    """Return the slots that start what waits within the objective's drain time.

    Lanes above the objective's count, as they are served first.
    """
    end = len(LANES) if objective.lane is None else objective.lane + 1
    arriving = sum(load.per_second[:end])
    waiting = sum(load.waiting[:end]) + load.due_soon
    seconds = max(drain_seconds(objective, service), _LEAST_DRAIN_SECONDS)
    at_once = _slots_for(waiting + load.in_flight + arriving * seconds, seconds, service)
    if at_once <= load.ready_slots:
        return Drain(at_once, 0.0)
    lead = load.lead_seconds
    done = (load.ready_slots * lead + load.coming_slot_seconds) / service.mean_seconds
    left = max(waiting + arriving * lead - done, 0.0)
    later = (
        _slots_for(left + load.in_flight + arriving * seconds, seconds, service) if left else 0.0
    )
    kept = min(at_once, max(load.ready_slots, load.asked_slots))
    return Drain(max(later, kept), left)


def drain_seconds(objective: Objective, service: Service) -> float:
    """Return in which time an objective wants what waits to be started."""
    if objective.drain_seconds is not None:
        return objective.drain_seconds
    return wait_bound(objective, service).seconds or objective.seconds


def kept_slots(load: Load, service: Service) -> float:
    """Return the ready slots that have to stay for the work of all lanes, promised or not.

    Work that nobody promised anything about makes no fleet grow, but one that is busy with a long
    backlog of it does not shrink.
    """
    messages = load.in_system + load.arrivals_per_second * KEPT_SECONDS
    return min(_slots_for(messages, KEPT_SECONDS, service), load.ready_slots)


def _slots_for(messages: float, seconds: float, service: Service) -> float:
    """Return the slots that start so many messages, those that run included, in so long."""
    return messages / (1.0 + seconds / service.mean_seconds)
