"""Caps: what a fleet may cost, what a model's quota can feed, how many messages may run.

    budget       workers <= budget an hour / cost of a worker and hour, rounded down
    quota        workers <= quota a second x mean service time / slots a worker, rounded up
    concurrency  workers <= messages that may run at once / slots a worker, rounded up

The quota's is Little's law: at most that many messages can be at work when no more than the quota
start a second; more workers would only wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING

from octoqueue.scaling.demand import number, several, whole_workers

if TYPE_CHECKING:
    from octoqueue.scaling.decision import Rule
    from octoqueue.scaling.load import Load
    from octoqueue.scaling.policy import ScalingPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """An upper bound of workers, with its reason."""

    rule: Rule
    workers: int
    reason: str


def caps_of(policy: ScalingPolicy, load: Load) -> tuple[Cap, ...]:
    """Return the bounds that the policy's caps set."""
    caps = (_quota(policy, load), _concurrency(policy), _budget(policy))
    return tuple(cap for cap in caps if cap is not None)


def cap_warnings(policy: ScalingPolicy, load: Load) -> tuple[str, ...]:
    """Return what the caps make impossible, in words."""
    return (*_unpaid(policy), *_quota_warnings(policy, load))


def _unpaid(policy: ScalingPolicy) -> tuple[str, ...]:
    budget = _budget(policy)
    if budget is None or budget.workers >= policy.min_workers:
        return ()
    return (f"budget_per_hour: {budget.reason}, and min_workers is {policy.min_workers}",)


def _quota_warnings(policy: ScalingPolicy, load: Load) -> tuple[str, ...]:
    quota = policy.caps.quota_per_second
    if quota is None:
        return ()
    if load.arrivals_per_second > quota:
        arriving = number(load.arrivals_per_second)
        return (
            (
                f"quota_per_second: {arriving} messages arrive a second and the quota feeds "
                f"{number(quota)}; what waits will grow"
            ),
        )
    if load.service is None:
        return ("quota_per_second: no service time is known yet, so the quota bounds nothing",)
    return ()


def _quota(policy: ScalingPolicy, load: Load) -> Cap | None:
    quota = policy.caps.quota_per_second
    if quota is None or load.service is None:
        return None
    mean = load.service.mean_seconds
    return Cap(
        rule="quota",
        workers=max(whole_workers(quota * mean / policy.slots_per_worker), 1),
        reason=f"a quota of {number(quota)} messages a second keeps "
        f"{several(quota * mean, 'message')} of {number(mean)} s at work, more workers would wait",
    )


def _concurrency(policy: ScalingPolicy) -> Cap | None:
    running = policy.caps.running
    if running is None:
        return None
    return Cap(
        rule="concurrency",
        workers=whole_workers(running / policy.slots_per_worker),
        reason=f"its queues let {several(running, 'message')} run at the same time",
    )


def _budget(policy: ScalingPolicy) -> Cap | None:
    cost, budget = policy.caps.cost_per_worker_hour, policy.caps.budget_per_hour
    if cost is None or budget is None:
        return None
    workers = max(floor(budget / cost + 1e-9), 0)
    return Cap(
        rule="budget",
        workers=workers,
        reason=f"a budget of {number(budget)} an hour pays {several(workers, 'worker')} at "
        f"{number(cost)}",
    )
