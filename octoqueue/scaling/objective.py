"""Objectives: the smallest fleet with which enough messages start in time.

    slots = largest of
      steady   the least that meets every objective at the present arrival rate (`erlang`), and is
               more than all lanes together keep busy
      backlog  what starts all that waits within the objective's drain time (`backlog`)
      kept     ready slots that have ten minutes of work or more, promised or not
    workers = ceil((slots + slots of long runs) / slots a worker)

Messages that have run for ten times the mean are long runs: they have a slot each, for nobody knows
how long, and all of the above is about the other slots and messages.

Lanes without an objective are kept up with, but make no fleet grow for what waits in them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

from octoqueue.primitives.lane import LANES
from octoqueue.scaling.backlog import KEPT_SECONDS, drain_of, drain_seconds, kept_slots
from octoqueue.scaling.caps import caps_of
from octoqueue.scaling.demand import Demand, number, several, whole_workers
from octoqueue.scaling.depth import left_out_words
from octoqueue.scaling.erlang import Line, WaitGoal, Work, least_slots, tail_of
from octoqueue.scaling.finishing import running_quantile, wait_bound

if TYPE_CHECKING:
    from octoqueue.scaling.load import Load, Service
    from octoqueue.scaling.policy import Objective, ScalingPolicy


def demand_by_objectives(load: Load, policy: ScalingPolicy) -> Demand:
    """Return the workers with which the policy's objectives are met; it has at least one."""
    service = load.service
    if service is None:
        return _demand_without_service(load, policy)
    every, load = load, _beside_long_runs(load)
    work = Work(
        offered=load.arrivals_per_second * service.mean_seconds,
        service_seconds=service.mean_seconds,
        service_variation=service.squared_variation,
    )
    goals = [_goal(objective, load, service) for objective in policy.objectives]
    steady = least_slots(goals, work)
    drains = [drain_of(objective, load, service) for objective in policy.objectives]
    drain = max(drains)
    kept = kept_slots(load, service)
    slots = whole_workers(max(float(steady), drain.slots, kept))
    workers = whole_workers((slots + every.long_running) / policy.slots_per_worker)
    if every.in_system > 0:
        workers = max(workers, 1)
    if kept > max(drain.slots, steady):
        reason = _kept_words(load, slots)
    elif drain.slots > steady:
        most = policy.objectives[drains.index(drain)]
        reason = _backlog_words(most, load, service, slots=slots, left=drain.left)
    else:
        reason = _steady_words(policy.objectives, load, service, slots)
    return Demand(
        rule="objective",
        workers=workers,
        reason=reason + _long_words(every) + left_out_words(load),
        warnings=(*_unlike(load), *_impossible(policy, load, goals, work, steady)),
    )


def _beside_long_runs(load: Load) -> Load:
    """Return what there is to do beside long runs, and the slots that they leave."""
    return replace(
        load,
        in_flight=max(load.in_flight - load.long_running, 0.0),
        ready_slots=max(load.ready_slots - load.long_running, 0),
        asked_slots=max(load.asked_slots - load.long_running, 0),
    )


def _goal(objective: Objective, load: Load, service: Service) -> WaitGoal:
    """Return what an objective says of the wait: of one lane, or of what is in all of them."""
    ends = list(accumulate(rate * service.mean_seconds for rate in load.per_second))
    lanes = tuple(LANES) if objective.lane is None else (objective.lane,)
    arriving = sum(load.per_second[lane] for lane in lanes)
    bound = wait_bound(objective, service)
    return WaitGoal(
        seconds=bound.seconds,
        tail=bound.tail,
        lines=tuple(
            Line(
                share=load.per_second[lane] / arriving,
                higher=ends[lane - 1] if lane else 0.0,
                through=ends[lane],
            )
            for lane in lanes
            if load.per_second[lane] > 0
        ),
    )


def _demand_without_service(load: Load, policy: ScalingPolicy) -> Demand:
    """Count a slot for each message: right when they run long, too much when they are short."""
    warnings = (
        (
            "objective: no message has ended lately and no service time is configured, so each "
            "message counts a slot; configure `service`"
        ),
    )
    return Demand(
        rule="objective",
        workers=whole_workers(load.in_system / policy.slots_per_worker),
        reason=f"service time unknown: a slot for each of {several(load.in_system, 'message')}"
        f"{left_out_words(load)}",
        warnings=warnings if load.in_system or load.arrivals_per_second else (),
    )


def _impossible(
    policy: ScalingPolicy, load: Load, goals: list[WaitGoal], work: Work, steady: int
) -> tuple[str, ...]:
    """Return a warning for each objective that the most workers allowed do not meet for long.

    A backlog that takes more for a while is no reason to change the policy.
    """
    too_long = _running_too_long(policy, load)
    caps = ((cap.workers, cap.rule) for cap in caps_of(policy, load))
    most, bound = min([(policy.max_workers, "max_workers"), *caps])
    slots = most * policy.slots_per_worker
    if steady <= slots:
        return too_long
    if slots <= work.offered:
        return (
            *too_long,
            (
                f"objective: {number(work.offered)} slots are busy on average, and {bound} allows "
                f"{several(slots, 'slot')}; what waits will grow, it takes "
                f"{several(whole_workers(steady / policy.slots_per_worker), 'worker')}"
            ),
        )
    found = list(too_long)
    for objective, goal in zip(policy.objectives, goals, strict=True):
        tail = tail_of(goal, slots, work)
        if tail > goal.tail:
            alone = whole_workers(least_slots([goal], work) / policy.slots_per_worker)
            found.append(
                f"objective: {words_of(objective)} takes {several(alone, 'worker')}, and {bound} "
                f"allows {number(most)}, with which about {number(100 * (1 - tail))} % do not wait "
                f"too long"
            )
    return tuple(found)


def _unlike(load: Load) -> tuple[str, ...]:
    if load.unlike_seconds is None:
        return ()
    short, long = map(number, load.unlike_seconds)
    return (
        (
            f"objective: messages run {short} s in one of its queues and {long} s in another, and "
            f"one mean says little of both; give each a fleet of its own, or go by depth"
        ),
    )


def _running_too_long(policy: ScalingPolicy, load: Load) -> tuple[str, ...]:
    """Return a warning for each objective of the finish that running alone exceeds."""
    service = load.service
    if service is None:
        return ()
    return tuple(
        f"objective: {words_of(objective)} is impossible: running alone takes "
        f"{number(running_quantile(service, objective.percentile))} s at that percentile "
        f"({number(service.mean_seconds)} s on average); the best there is, a fleet in which "
        f"hardly a message waits, is wanted instead"
        for objective in policy.objectives
        if wait_bound(objective, service).is_impossible
    )


def words_of(objective: Objective) -> str:
    """Return an objective as a person says it."""
    lane = "all" if objective.lane is None else objective.lane.label
    done = " finished" if objective.of == "finish" else ""
    share = f"{objective.percentile * 100:.5g} %"
    return f"{share} of {lane}{done} within {number(objective.seconds)} s"


def _steady_words(
    objectives: tuple[Objective, ...], load: Load, service: Service, slots: float
) -> str:
    arriving = load.arrivals_per_second
    promised = ", ".join(words_of(objective) for objective in objectives)
    return (
        f"{several(slots, 'slot')} for {promised}, at {number(arriving)} messages a second of "
        f"{number(service.mean_seconds)} s{'' if service.is_measured else ' (assumed)'}"
        f" that keep {number(arriving * service.mean_seconds)} busy, "
        f"{number(load.in_flight)} run now"
    )


def _long_words(load: Load) -> str:
    if not load.long_running:
        return ""
    return f"; {number(load.long_running)} more have run for long and have a slot each"


def _kept_words(load: Load, slots: float) -> str:
    return (
        f"{several(slots, 'slot')} with work for {number(KEPT_SECONDS)} s, promised or not "
        f"({number(sum(load.waiting))} wait and {number(load.in_flight)} run now)"
    )


def _backlog_words(
    objective: Objective, load: Load, service: Service, *, slots: float, left: float
) -> str:
    drain = number(drain_seconds(objective, service))
    now = f"{number(sum(load.waiting))} wait and {number(load.in_flight)} run now"
    if not left:
        promise = words_of(objective)
        return f"{several(slots, 'slot')} to start all of it within {drain} s ({now}; {promise})"
    return (
        f"{several(slots, 'slot')} to start, within {drain} s, {several(left, 'message')} that "
        f"will still wait when new workers are ready in {number(load.lead_seconds)} s ({now}; "
        f"{words_of(objective)})"
    )
