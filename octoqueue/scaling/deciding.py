"""`decide`: from a snapshot to how many workers a fleet wants.

    largest of depth, latency, rate, objective
      → the same for the arrivals that a forecast expects, if it may be used
      → not below the floor of a schedule, nor none while there is or was work
      → an override instead of all of that
      → not above quota and budget → not below min_workers, not above max_workers
      → not below protected workers

Later ones win. An override that says so may exceed `max_workers`, and protection may exceed every
bound: a worker that would lose much is there already and is let finish. How fast a fleet follows is
not decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors import SignalsUnreadable
from octoqueue.scaling.activation import has_work, seconds_left, staying_words
from octoqueue.scaling.caps import cap_warnings, caps_of
from octoqueue.scaling.composition import Composition
from octoqueue.scaling.demand import number, several
from octoqueue.scaling.depth import demand_by_depth
from octoqueue.scaling.load import load_of
from octoqueue.scaling.protection_floor import protected_workers

if TYPE_CHECKING:
    from octoqueue.primitives.signals import FleetSnapshot
    from octoqueue.scaling.decision import Decision
    from octoqueue.scaling.demand import Demand
    from octoqueue.scaling.load import Load
    from octoqueue.scaling.override import Override
    from octoqueue.scaling.policy import ScalingPolicy


def decide(
    snapshot: FleetSnapshot,
    policy: ScalingPolicy,
    *,
    now_ms: int,
    override: Override | None = None,
    last_active_at_ms: int | None = None,
) -> Decision:
    """Return how many workers a fleet wants, with every step that led there.

    The same arguments give the same decision.

    Args:
        snapshot: All signals of the fleet.
        policy: What is wanted of it.
        now_ms: The time, by the store's clock.
        override: What somebody said by hand; ignored when it has ended.
        last_active_at_ms: `last_active_at_ms` of the decision before, None when there was none.

    Raises:
        SignalsUnreadable: the snapshot, or one of its queues, is older than
            `policy.stale_after_seconds`, lacks a queue of the policy, or is of another fleet.
    """
    _require_usable(snapshot, policy, now_ms)
    load = load_of(snapshot, policy)
    works = has_work(load, policy)
    active_at_ms = max(now_ms, last_active_at_ms or 0) if works else last_active_at_ms
    wanted = Composition()
    for demand in demands_of(load, policy):
        wanted.demand(demand)
    if policy.min_workers == 0:
        left = seconds_left(policy, now_ms=now_ms, last_active_at_ms=active_at_ms)
        if works or left > 0:
            words = staying_words(load, left_seconds=0.0 if works else left)
            wanted.at_least(1, rule="activation", reason=words)
        else:
            wanted.exactly(0, rule="activation", reason=_idle_words(load, policy))
            wanted.is_active = False
    is_overridden = override is not None and override.holds_at(now_ms)
    if override is not None and is_overridden:
        wanted.exactly(override.workers, rule="override", reason=_override_words(override, now_ms))
    _bound(wanted, load, policy, override if is_overridden else None)
    protected = protected_workers(snapshot.workers, policy.protection)
    if protected:
        wanted.at_least(len(protected), rule="protected", reason=_protected_words(len(protected)))
    for warning in cap_warnings(policy, load):
        wanted.warn(warning)
    return wanted.decision(policy.fleet, at_ms=now_ms, last_active_at_ms=active_at_ms)


def demands_of(load: Load, policy: ScalingPolicy) -> tuple[Demand, ...]:
    """Return what each rule of the policy demands for a load."""
    demands: list[Demand] = []
    if policy.depth is not None:
        demands.append(demand_by_depth(load, policy.depth))
    return tuple(demands)


def _require_usable(snapshot: FleetSnapshot, policy: ScalingPolicy, now_ms: int) -> None:
    fleet = policy.fleet
    if snapshot.fleet != fleet:
        raise SignalsUnreadable(fleet, reason=f"they are of fleet {snapshot.fleet!r}")
    there = {queue.queue: queue for queue in snapshot.queues}
    missing = [name for name in policy.queues if name not in there]
    if missing:
        raise SignalsUnreadable(fleet, reason=f"queue {', '.join(missing)} was not read")
    taken = [there[name].taken_at_ms for name in policy.queues]
    age = max(now_ms - min([snapshot.taken_at_ms, *taken]), 0) / 1000
    if age > policy.stale_after_seconds:
        raise SignalsUnreadable(
            fleet,
            reason=f"they are {number(age)} s old, and older than "
            f"{number(policy.stale_after_seconds)} s they decide nothing",
        )


def _bound(
    wanted: Composition, load: Load, policy: ScalingPolicy, override: Override | None
) -> None:
    for cap in caps_of(policy, load):
        wanted.at_most(cap.workers, rule=cap.rule, reason=cap.reason)
    if override is None and wanted.is_active:
        wanted.at_least(policy.min_workers, rule="minimum", reason="min_workers")
    if override is None or not override.beyond_max:
        wanted.at_most(policy.max_workers, rule="maximum", reason="max_workers")


def _idle_words(load: Load, policy: ScalingPolicy) -> str:
    if load.in_system == 0:
        return f"no work for {number(policy.active_for_seconds)} s or longer"
    return (
        f"{several(load.in_system, 'message')} to do, and it starts at more than "
        f"{policy.activation_messages}"
    )


def _override_words(override: Override, now_ms: int) -> str:
    minutes = (override.until_ms - now_ms) / 60_000
    said_by = f" by {override.said_by}" if override.said_by else ""
    return f"set{said_by} for {number(minutes)} min more"


def _protected_words(count: int) -> str:
    return f"{several(count, 'worker')} would lose much work and are let finish"
