"""Objectives: the smallest fleet with which enough messages start in time.

    slots = larger of
      steady   the least that meets every objective at the present arrival rate (`erlang`), and is
               more than all lanes together keep busy
      backlog  what starts all that waits within the objective's drain time
    workers = ceil(slots / slots a worker)

The backlog is a fluid: S slots start S + S D / s messages within D, of which the F that run have
started already, so N that wait and those that arrive take (N + F + rate D) / (1 + D / s). Where that
is more than are ready, new workers start only what will still wait when they are ready: without what
the ready slots do until then, and those that were asked for before. As long as there is more to do
than the ready slots can, those that were asked for are not sent away.

Lanes without an objective only have to be kept up with: work of theirs that waits is done by what
is left over.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from octoqueue.primitives.lane import LANES
from octoqueue.scaling.caps import caps_of
from octoqueue.scaling.demand import Demand, number, several, whole_workers
from octoqueue.scaling.depth import paused_words
from octoqueue.scaling.erlang import Line, WaitGoal, Work, least_slots, tail_of
from octoqueue.scaling.finishing import running_quantile, wait_bound

if TYPE_CHECKING:
    from octoqueue.scaling.load import Load, Service
    from octoqueue.scaling.policy import Objective, ScalingPolicy

_LEAST_DRAIN_SECONDS = 1e-3


def demand_by_objectives(load: Load, policy: ScalingPolicy) -> Demand:
    """Return the workers with which the policy's objectives are met; it has at least one."""
    service = load.service
    if service is None:
        return _demand_without_service(load, policy)
    work = Work(
        offered=load.arrivals_per_second * service.mean_seconds,
        service_seconds=service.mean_seconds,
        service_variation=service.squared_variation,
    )
    goals = [_goal(objective, load, service) for objective in policy.objectives]
    steady = least_slots(goals, work)
    drains = [_drain(objective, load, service) for objective in policy.objectives]
    drain = max(drains)
    slots = whole_workers(max(float(steady), drain.slots))
    workers = whole_workers(slots / policy.slots_per_worker)
    if load.in_system > 0:
        workers = max(workers, 1)
    if drain.slots > steady:
        most = policy.objectives[drains.index(drain)]
        reason = _backlog_words(most, load, service, slots=slots, left=drain.left)
    else:
        reason = _steady_words(policy.objectives, load, service, slots)
    return Demand(
        rule="objective",
        workers=workers,
        reason=reason + paused_words(load),
        warnings=_impossible(policy, load, goals, work, steady),
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


class _Drain(NamedTuple):
    """What it takes to start the backlog in time."""

    slots: float
    left: float
    """Messages that new workers would have to start; 0: those that are there will do."""


def _drain(objective: Objective, load: Load, service: Service) -> _Drain:
    """Return the slots that start what waits within the objective's drain time.

    Lanes above the objective's count, as they are served first.
    """
    end = len(LANES) if objective.lane is None else objective.lane + 1
    arriving = sum(load.per_second[:end])
    waiting = sum(load.waiting[:end]) + load.due_soon
    seconds = max(_drain_seconds(objective, service), _LEAST_DRAIN_SECONDS)

    def started(messages: float) -> float:
        return (messages + load.in_flight + arriving * seconds) / (
            1.0 + seconds / service.mean_seconds
        )

    at_once = started(waiting)
    if at_once <= load.ready_slots:
        return _Drain(at_once, 0.0)
    lead = load.lead_seconds
    done = (load.ready_slots * lead + load.coming_slot_seconds) / service.mean_seconds
    left = max(waiting + arriving * lead - done, 0.0)
    kept = min(at_once, max(load.ready_slots, load.asked_slots))
    return _Drain(max(started(left) if left > 0 else 0.0, kept), left)


def _drain_seconds(objective: Objective, service: Service) -> float:
    if objective.drain_seconds is not None:
        return objective.drain_seconds
    return wait_bound(objective, service).seconds or objective.seconds


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
        f"{paused_words(load)}",
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


def _backlog_words(
    objective: Objective, load: Load, service: Service, *, slots: float, left: float
) -> str:
    drain = number(_drain_seconds(objective, service))
    now = f"{number(sum(load.waiting))} wait and {number(load.in_flight)} run now"
    if not left:
        return f"{several(slots, 'slot')} to start what waits within {drain} s ({now}; " + (
            f"{words_of(objective)})"
        )
    return (
        f"{several(slots, 'slot')} to start, within {drain} s, {several(left, 'message')} that "
        f"will still wait when new workers are ready in {number(load.lead_seconds)} s ({now}; "
        f"{words_of(objective)})"
    )
