"""The loops that turn what a rule wants into the size of a fleet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from octoqueue.scaling import keda_loop
from octoqueue.scaling.hpa import Bounds, damped, step
from octoqueue.scaling.hpa_metrics import average_value_proposal, tolerances_of, unreadable
from octoqueue.scaling.hpa_state import HpaState
from octoqueue.scaling.keda_loop_rules import Reading, ScaledObjectRules, Size, created

if TYPE_CHECKING:
    from octoqueue.scaling.simulator.fleets import FleetModel

_ROUNDING = 1e-9
_METRIC = "wanted-workers"


class Loop(Protocol):
    """What sizes a fleet at each sync."""

    def size(self, wanted: float | None, *, now_seconds: float, current: int) -> int:
        """Return the size from now on; `wanted` is None when it could not be read."""
        ...


def loop_of(model: FleetModel) -> Loop:
    """Return a loop of the kind that a model names, that remembers nothing yet."""
    if model.loop == "hpa":
        return KedaLoop(model) if model.min_workers == 0 else HpaLoop(model)
    if model.loop == "agent":
        return AgentLoop(model)
    return DirectLoop(model)


class DirectLoop:
    """Does what the rule says, within bounds."""

    def __init__(self, model: FleetModel) -> None:
        """Take the bounds from the model."""
        self._least, self._most = model.min_workers, model.max_workers

    def size(
        self,
        wanted: float | None,
        *,
        now_seconds: float,  # noqa: ARG002 - it remembers nothing
        current: int,
    ) -> int:
        """Return what is wanted, rounded up; the current size when it could not be read."""
        if wanted is None:
            return current
        return min(max(math.ceil(wanted - _ROUNDING), self._least), self._most)


class HpaLoop:
    """The autoscaler of Kubernetes, told one metric of target 1: all that KEDA is above 0."""

    def __init__(self, model: FleetModel) -> None:
        """Take bounds and behavior from the model."""
        self._bounds = Bounds(least=model.min_workers, most=model.max_workers)
        self._behavior = model.behavior
        self._tolerances = tolerances_of(model.behavior)
        self._state = HpaState()

    def size(self, wanted: float | None, *, now_seconds: float, current: int) -> int:
        """Return what the autoscaler makes of it; an unread metric moves nothing."""
        if wanted is None:
            proposal = unreadable(_METRIC, "unreadable")
        else:
            proposal = average_value_proposal(
                _METRIC,
                values=(wanted,),
                target=1.0,
                status_replicas=current,
                tolerances=self._tolerances,
            )
        sync = step(
            self._state,
            now=now_seconds,
            current=current,
            proposals=(proposal,),
            bounds=self._bounds,
            behavior=self._behavior,
        )
        self._state = sync.state
        return sync.replicas


class KedaLoop:
    """KEDA around that autoscaler, for fleets that may be none."""

    def __init__(self, model: FleetModel) -> None:
        """Take a ScaledObject's fields from the model."""
        self._rules = ScaledObjectRules(
            min_replicas=model.min_workers,
            max_replicas=model.max_workers,
            polling_seconds=model.polling_seconds,
            cooldown_seconds=model.cooldown_seconds,
            behavior=model.behavior,
            sync_seconds=model.sync_seconds,
        )
        self._state = created(0.0)

    def size(self, wanted: float | None, *, now_seconds: float, current: int) -> int:
        """Return what KEDA and the autoscaler make of it; an unread metric moves nothing."""
        readings = (
            (Reading(metric=_METRIC, failure="metric"),)
            if wanted is None
            else (Reading(metric=_METRIC, value=wanted, is_active=wanted > 0),)
        )
        turn = keda_loop.step(
            self._state,
            now=now_seconds,
            size=Size(asked=current, existing=current, ready=current),
            ask=lambda: readings,
            rules=self._rules,
        )
        self._state = turn.state
        return turn.replicas


class AgentLoop:
    """The fleet agent of one machine: the same damping, and no KEDA."""

    def __init__(self, model: FleetModel) -> None:
        """Take bounds and behavior from the model."""
        self._bounds = Bounds(least=model.min_workers, most=max(1, model.max_workers))
        self._behavior = model.behavior
        self._state = HpaState()

    def size(self, wanted: float | None, *, now_seconds: float, current: int) -> int:
        """Return the next size on the way to what is wanted."""
        if wanted is None:
            return current
        sync = damped(
            self._state,
            wanted=math.ceil(wanted - _ROUNDING),
            current=current,
            bounds=self._bounds,
            behavior=self._behavior,
            now=now_seconds,
        )
        self._state = sync.state
        return sync.replicas
