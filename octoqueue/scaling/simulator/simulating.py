"""`simulate`: a rule, a trace and a fleet in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from octoqueue.scaling.simulator.flow import Flow
from octoqueue.scaling.simulator.loops import loop_of
from octoqueue.scaling.simulator.messages import Messages
from octoqueue.scaling.simulator.policy_rule import PolicyRule
from octoqueue.scaling.simulator.report import Report, report_from
from octoqueue.scaling.simulator.rules import minute_lengths, minute_loads, smallest_fleets
from octoqueue.scaling.simulator.traces import RequestTrace, StepTrace, messages_in
from octoqueue.scaling.simulator.waits import Waits, waits_of_flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.scaling.simulator.crew import SizeLog
    from octoqueue.scaling.simulator.fleets import FleetModel, Workload
    from octoqueue.scaling.simulator.traces import Trace
    from octoqueue.scaling.simulator.views import Rule

DEFAULT_OBJECTIVE_SECONDS = 5.0
_FLUID_STEP_SECONDS = 1.0
"""Of single requests taken as a flow: a burst within a minute stays one."""

_ARRIVALS, _SERVICE, _FLEET = range(3)
"""Streams of chance, so that a fleet's luck does not change what arrives."""


class _Run(NamedTuple):
    waits: Waits
    sizes: SizeLog
    paid: SizeLog
    trace: Trace
    messages: float
    redone_messages: float
    left_work_seconds: float
    unread_syncs: int


def simulate(
    trace: Trace,
    workload: Workload,
    fleet: FleetModel,
    rule: Rule,
    *,
    objective_seconds: float = DEFAULT_OBJECTIVE_SECONDS,
    progress: Callable[[float], None] | None = None,
) -> Report:
    """Return what comes of it.

    The same arguments give the same report: all chance comes from the workload's seed, and what
    arrives is the same for every rule and fleet.

    Args:
        trace: what arrives; scale it before.
        workload: what the messages are like, and which model runs them.
        fleet: start-up, bounds, loop, failures.
        rule: asked at each sync; one that remembers is used for one run only.
        objective_seconds: how long work may wait; a minute is met when none of it waits longer.
        progress: told now and then how many seconds have passed.
    """
    run = (_flow if workload.kind == "fluid" else _messages)(trace, workload, fleet, rule, progress)
    mean_seconds = workload.service.mean_seconds
    loads = minute_loads(run.trace, service_seconds=mean_seconds, slots=fleet.slots)
    smallest = smallest_fleets(run.trace, service_seconds=mean_seconds, slots=fleet.slots)
    policy = rule if isinstance(rule, PolicyRule) else None
    return report_from(
        run.waits,
        sizes=run.sizes,
        paid=run.paid,
        rule=rule.name,
        trace=trace.name,
        duration_seconds=trace.duration_seconds,
        objective_seconds=objective_seconds,
        loads=loads,
        clairvoyant=smallest * minute_lengths(len(smallest), run.trace.duration_seconds),
        cost_per_worker_hour=fleet.cost_per_worker_hour,
        messages=run.messages,
        redone_messages=run.redone_messages,
        left_work_seconds=run.left_work_seconds,
        unread_syncs=run.unread_syncs,
        decisions=policy.decisions if policy else (),
        warnings=tuple(policy.warnings) if policy else (),
    )


def _flow(
    trace: Trace,
    workload: Workload,
    fleet: FleetModel,
    rule: Rule,
    progress: Callable[[float], None] | None,
) -> _Run:
    steps = trace.in_steps(_FLUID_STEP_SECONDS) if isinstance(trace, RequestTrace) else trace
    flow = Flow(
        steps, service=workload.service, model=fleet, generator=_chance(workload.seed, _FLEET)
    )
    flow.run(rule, loop_of(fleet), progress=progress)
    left = flow.waiting_work
    flow.run_out()
    done_at, done_work = flow.done_log()
    return _Run(
        waits=waits_of_flow(
            arrived_at=np.arange(len(flow.arrived_work), dtype=np.float64) * steps.step_seconds,
            arrived_work=flow.arrived_work,
            done_at=done_at,
            done_work=done_work,
        ),
        sizes=flow.crew.log,
        paid=flow.crew.log,
        trace=steps,
        messages=messages_in(trace),
        redone_messages=flow.redone_messages,
        left_work_seconds=left,
        unread_syncs=flow.unread_syncs,
    )


def _messages(
    trace: Trace,
    workload: Workload,
    fleet: FleetModel,
    rule: Rule,
    progress: Callable[[float], None] | None,
) -> _Run:
    if isinstance(trace, StepTrace):
        trace = trace.as_requests(generator=_chance(workload.seed, _ARRIVALS))
    service = trace.service_seconds
    if service is None:
        count = len(trace.arrived_seconds)
        service = workload.service.draw(count, _chance(workload.seed, _SERVICE))
    messages = Messages(
        trace, service_seconds=service, model=fleet, generator=_chance(workload.seed, _FLEET)
    )
    messages.run(rule, loop_of(fleet), progress=progress)
    left = messages.left_work_seconds()
    messages.run_out()
    waited = messages.history.waited_seconds()
    return _Run(
        waits=Waits(
            arrived_seconds=trace.arrived_seconds,
            amount=np.ones(len(waited)),
            first_seconds=waited,
            last_seconds=waited,
        ),
        sizes=messages.hands.sizes,
        paid=messages.hands.paid,
        trace=trace,
        messages=len(waited),
        redone_messages=messages.redone_messages,
        left_work_seconds=left,
        unread_syncs=messages.unread_syncs,
    )


def _chance(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, stream])
