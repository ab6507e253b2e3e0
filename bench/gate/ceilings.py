"""What a message may cost, and what to say when it costs more. Pure.

Ceilings are what was counted when they were last accepted. Counts vary a little with how replies
happen to arrive; the tolerances are wider than that and narrower than one call more a message.
Bytecodes are compared as a ratio to the reference counted in the same process, calls are those of
functions that every message calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.gate.counting import Counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.gate.cases import Cost

_FUNCTIONS = 60
"""Of each case, the most expensive: what has grown is looked for among them."""
_SHOWN = 10
_LEAST_BYTECODES = 2.0
"""Growth of a function below this is chance."""
_ALWAYS = 0.5


@dataclass(frozen=True, slots=True)
class Tolerance:
    """By how much a figure may exceed its ceiling: the larger of the two."""

    share: float
    least: float

    def above(self, ceiling: float) -> float:
        """Return what is still accepted."""
        return ceiling + max(self.share * ceiling, self.least)


RATIO = "bytecodes, in those of the reference"
TOLERANCES: dict[str, Tolerance] = {
    RATIO: Tolerance(0.04, 0.0),
    "calls of Python functions": Tolerance(0.015, 0.5),
    "calls of C functions": Tolerance(0.015, 0.5),
    "Redis commands": Tolerance(0.1, 0.05),
    "script calls": Tolerance(0.1, 0.015),
}
OTHER_PYTHON = Tolerance(0.2, 1.0)
"""For what the interpreter does, in versions other than that of the ceilings."""


@dataclass(frozen=True, slots=True)
class Excess:
    """A figure above its ceiling."""

    case: str
    figure: str
    counted: float
    ceiling: float
    accepted: float

    def __str__(self) -> str:
        """Say what is above what."""
        return (
            f"{self.case}: {self.counted:.3f} {self.figure} a message, "
            f"accepted {self.ceiling:.3f}, with tolerance {self.accepted:.3f}"
        )


def figures_of(cost: Cost, reference: Cost) -> dict[str, float]:
    """Return what has a ceiling."""
    return {
        RATIO: ratio(cost, reference),
        "calls of Python functions": cost.each_time.calls,
        "calls of C functions": cost.each_time.c_calls,
        "Redis commands": cost.redis_commands,
        "script calls": cost.script_calls,
    }


def ratio(cost: Cost, reference: Cost) -> float:
    """Return the bytecodes of one in those of the other."""
    return cost.total.bytecodes / reference.total.bytecodes


def as_ceiling(cost: Cost, reference: Cost) -> dict[str, Any]:
    """Return the part of the file of ceilings that is about one case."""
    dearest = sorted(cost.by_function.items(), key=lambda item: item[1], reverse=True)
    return {
        "figures": {name: round(value, 3) for name, value in figures_of(cost, reference).items()},
        "functions": {
            name: [round(value, 2) for value in counts] for name, counts in dearest[:_FUNCTIONS]
        },
    }


def excesses(
    case: str, cost: Cost, reference: Cost, ceiling: Mapping[str, Any], *, same_python: bool
) -> Iterator[Excess]:
    """Yield what exceeds its ceiling.

    Args:
        case: its name.
        cost: what was counted.
        reference: what was counted of the reference.
        ceiling: what was accepted.
        same_python: whether this is the version of Python that the ceilings were counted with.
    """
    for figure, counted in figures_of(cost, reference).items():
        tolerance = TOLERANCES[figure]
        if not same_python and "Redis" not in figure and "script" not in figure:
            tolerance = OTHER_PYTHON
        accepted = tolerance.above(ceiling["figures"][figure])
        if counted > accepted:
            yield Excess(case, figure, counted, ceiling["figures"][figure], accepted)


def slack(cost: Cost, reference: Cost, ceiling: Mapping[str, Any]) -> float:
    """Return how much cheaper a case has become, in bytecodes: 0.1 is a tenth."""
    accepted: float = ceiling["figures"][RATIO]
    return 1 - ratio(cost, reference) / accepted


def grown(cost: Cost, ceiling: Mapping[str, Any]) -> list[str]:
    """Return which functions cost more than when it was accepted, the worst first."""
    before: dict[str, list[float]] = ceiling["functions"]
    # One that is not in the file was cheaper than all that are.
    unknown = Counts(min((counts[0] for counts in before.values()), default=0.0), 0, 0)
    growth: list[tuple[float, str]] = []
    for name, now in cost.by_function.items():
        then = Counts(*before[name]) if name in before else unknown
        more, calls, c_calls = (new - old for new, old in zip(now, then, strict=True))
        if more >= _LEAST_BYTECODES or max(calls, c_calls) >= _ALWAYS:
            words = f"{more:+.1f} bytecodes, {calls:+.2f} calls, {c_calls:+.2f} C calls"
            growth.append((more, f"{words}  {name}{'' if name in before else ' (new)'}"))
    return [line for _, line in sorted(growth, reverse=True)][:_SHOWN]
