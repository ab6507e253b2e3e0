"""`simulate`: a rule, a trace and a fleet in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from octoqueue.scaling.simulator.flow import Flow
from octoqueue.scaling.simulator.loops import loop_of
from octoqueue.scaling.simulator.report import Report, report_from
from octoqueue.scaling.simulator.rules import minute_loads, smallest_fleets
from octoqueue.scaling.simulator.traces import RequestTrace, messages_in
from octoqueue.scaling.simulator.waits import waits_of_flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.scaling.simulator.fleets import FleetModel, Workload
    from octoqueue.scaling.simulator.traces import Trace
    from octoqueue.scaling.simulator.views import Rule

DEFAULT_OBJECTIVE_SECONDS = 5.0


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

    The same arguments give the same report: all chance comes from the workload's seed.

    Args:
        trace: what arrives; scale it before.
        workload: what the messages are like, and which model runs them.
        fleet: start-up, bounds, loop, failures.
        rule: asked at each sync; one that remembers is used for one run only.
        objective_seconds: how long work may wait; a minute is met when none of it waits longer.
        progress: told now and then how many seconds have passed.
    """
    steps = trace.in_steps() if isinstance(trace, RequestTrace) else trace
    generator = np.random.default_rng(workload.seed)
    service = workload.service
    flow = Flow(steps, service=service, model=fleet, generator=generator)
    flow.run(rule, loop_of(fleet), progress=progress)
    done_at, done_work = flow.done_log()
    edges = np.arange(len(flow.arrived_work), dtype=np.float64) * steps.step_seconds
    waits = waits_of_flow(
        arrived_at=edges,
        arrived_work=flow.arrived_work,
        done_at=done_at,
        done_work=done_work,
    )
    mean_seconds = service.mean_seconds
    return report_from(
        waits,
        flow.crew.log,
        rule=rule.name,
        trace=trace.name,
        duration_seconds=trace.duration_seconds,
        objective_seconds=objective_seconds,
        loads=minute_loads(trace, service_seconds=mean_seconds, slots=fleet.slots),
        clairvoyant=smallest_fleets(trace, service_seconds=mean_seconds, slots=fleet.slots),
        cost_per_worker_hour=fleet.cost_per_worker_hour,
        messages=messages_in(trace),
        redone_messages=flow.redone_messages,
        left_work_seconds=flow.waiting_work,
    )
