"""A plan as a graph of steps: whether it can be run, and what is ready. Pure.

    known ──┐
            ├──► program        roots: known, risks · last: program, whose result is the plan's
    risks ──┘

A step is ready when all it needs is done. Steps are always given in the order of the plan, so that
one history of endings has one order of beginnings: a replayed workflow does the same again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from octoqueue.errors import OctoqueueError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from octoqueue.models.replies import PlannedStep

MOST_STEPS: Final = 12
"""A plan is a few arms' work; what needs more is several tasks."""


class Problem(StrEnum):
    """Why a plan cannot be run."""

    EMPTY = "it has no steps"
    TOO_MANY_STEPS = "it has too many steps"
    TWICE = "two of its steps have one id"
    UNKNOWN_ARM = "there is no such arm, or it may not be chosen"
    MISSING_DEPENDENCY = "a step needs one that is not there"
    CYCLE = "steps wait for each other"
    NO_RESULT = "more than one step is needed by no other, so it is unclear whose result counts"


class PlanInvalid(OctoqueueError):
    """A plan cannot be run; asking for another one may help."""

    retryable = True

    def __init__(self, problem: Problem, *, step: str = "", detail: str = "") -> None:
        at = f" (step {step!r})" if step else ""
        told = f": {detail}" if detail else ""
        super().__init__(f"the plan cannot be run: {problem.value}{at}{told}")
        self.problem = problem
        self.step = step
        """The first step at fault; empty when it is the whole."""
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A plan that can be run; made by `graph_from`."""

    steps: Mapping[str, PlannedStep]
    """By id, in the order of the plan."""
    last: PlannedStep
    """The one step that no other needs: its result is that of the plan."""

    def ready(
        self, *, done: AbstractSet[str], begun: AbstractSet[str] = frozenset()
    ) -> tuple[PlannedStep, ...]:
        """Return the steps that can begin now: not begun, and all they need is done."""
        return tuple(
            step
            for name, step in self.steps.items()
            if name not in begun and name not in done and done >= set(step.needs)
        )


def graph_from(
    steps: Sequence[PlannedStep], *, arms: Collection[str], most_steps: int = MOST_STEPS
) -> Graph:
    """Return the graph of a plan's steps.

    Raises:
        PlanInvalid: it cannot be run; says why and names the step.
    """
    if not steps:
        raise PlanInvalid(Problem.EMPTY)
    if len(steps) > most_steps:
        detail = f"{len(steps)}, at most {most_steps}"
        raise PlanInvalid(Problem.TOO_MANY_STEPS, detail=detail)
    named: dict[str, PlannedStep] = {}
    for step in steps:
        if step.id in named:
            raise PlanInvalid(Problem.TWICE, step=step.id)
        if step.arm not in arms:
            detail = f"{step.arm!r} is none of {', '.join(sorted(arms)) or 'none'}"
            raise PlanInvalid(Problem.UNKNOWN_ARM, step=step.id, detail=detail)
        named[step.id] = step
    for step in steps:
        missing = sorted(set(step.needs) - named.keys())
        if missing:
            detail = f"it needs {', '.join(missing)}"
            raise PlanInvalid(Problem.MISSING_DEPENDENCY, step=step.id, detail=detail)
    _refuse_cycle(named)
    needed = {name for step in steps for name in step.needs}
    last = [step for step in steps if step.id not in needed]
    if len(last) != 1:
        detail = ", ".join(step.id for step in last)
        raise PlanInvalid(Problem.NO_RESULT, step=last[0].id, detail=detail)
    return Graph(steps=MappingProxyType(named), last=last[0])


def _refuse_cycle(named: Mapping[str, PlannedStep]) -> None:
    """Take away what is ready until nothing is; what is left waits for itself."""
    left = dict(named)
    while free := [name for name, step in left.items() if left.keys().isdisjoint(step.needs)]:
        for name in free:
            del left[name]
    if left:
        raise PlanInvalid(Problem.CYCLE, step=next(iter(left)), detail=", ".join(left))
