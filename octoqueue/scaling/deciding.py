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
from octoqueue.scaling.activation import has_work, idle_words, seconds_left, staying_words
from octoqueue.scaling.caps import cap_warnings, caps_of
from octoqueue.scaling.composition import Composition
from octoqueue.scaling.demand import Demand, number, several
from octoqueue.scaling.depth import demand_by_depth
from octoqueue.scaling.foreseen import expected_rate, load_expected, why_unused
from octoqueue.scaling.latency import demand_by_latency
from octoqueue.scaling.load import load_of
from octoqueue.scaling.objective import demand_by_objectives
from octoqueue.scaling.protection_floor import protected_workers
from octoqueue.scaling.rate import demand_by_rate
from octoqueue.scaling.schedule import open_floor

if TYPE_CHECKING:
    from octoqueue.primitives.signals import ArrivalForecast, FleetSnapshot
    from octoqueue.scaling.decision import Decision
    from octoqueue.scaling.load import Load
    from octoqueue.scaling.override import Override
    from octoqueue.scaling.policy import FloorWindow, ScalingPolicy

_MINUTE_SECONDS = 60


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
        _activate(wanted, load, policy, works=works, left_seconds=left)
    if policy.forecast is not None:
        _foresee(wanted, load, snapshot.forecast, policy, now_ms)
    floor = open_floor(policy.floors, now_ms=now_ms)
    if floor is not None:
        wanted.at_least(floor.workers, rule="schedule", reason=_floor_words(floor))
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
    if policy.latency is not None:
        demands.append(demand_by_latency(load, policy.latency, policy))
    if policy.rate is not None:
        demands.append(demand_by_rate(load, policy.rate, policy))
    if policy.objectives:
        demands.append(demand_by_objectives(load, policy))
    return tuple(demands)


def _activate(
    wanted: Composition, load: Load, policy: ScalingPolicy, *, works: bool, left_seconds: float
) -> None:
    if works or left_seconds > 0:
        words = staying_words(load, left_seconds=0.0 if works else left_seconds)
        wanted.at_least(1, rule="activation", reason=words)
    else:
        wanted.exactly(0, rule="activation", reason=idle_words(load, policy))


def _foresee(
    wanted: Composition,
    load: Load,
    forecast: ArrivalForecast | None,
    policy: ScalingPolicy,
    now_ms: int,
) -> None:
    use = policy.forecast
    if use is None:
        return
    slots = policy.slots_per_worker
    rate = expected_rate(forecast, use, load, now_ms=now_ms, slots_per_worker=slots)
    unused = why_unused(forecast, use, load, now_ms=now_ms, rate=rate)
    if rate is None or unused:
        wanted.note(rule="forecast", reason=f"not followed: {unused}")
        return
    within = load.lead_seconds
    if wanted.workers == 0 and rate * within <= max(policy.activation_messages, 1):
        wanted.note(rule="forecast", reason=f"too little is expected within {number(within)} s")
        return
    expected = load_expected(load, rate)
    by_rule = demands_of(expected, policy)
    if not by_rule:
        return
    most = max(by_rule, key=lambda demand: demand.workers)
    said = (
        f"{number(rate)} messages a second are expected within {number(within)} s "
        f"(now {number(load.arrivals_per_second)}), by {most.rule}: {most.reason}"
    )
    wanted.demand(Demand(rule="forecast", workers=most.workers, reason=said))


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
    if override is None:
        wanted.at_least(
            policy.min_workers, rule="minimum", reason=f"min_workers is {policy.min_workers}"
        )
    if override is None or not override.beyond_max:
        wanted.at_most(
            policy.max_workers, rule="maximum", reason=f"max_workers is {policy.max_workers}"
        )


def _floor_words(floor: FloorWindow) -> str:
    return f"from {floor.start!r} to {floor.end!r} ({floor.timezone})"


def _override_words(override: Override, now_ms: int) -> str:
    minutes = (override.until_ms - now_ms) / 60_000
    said_by = f" by {override.said_by}" if override.said_by else ""
    return f"set{said_by} for {number(minutes)} min more"


def _protected_words(count: int) -> str:
    return f"{several(count, 'worker')} would lose much work and are let finish"
