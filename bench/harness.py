"""Rounds: every side of a scenario once a round, in turn, so that all see the same machine.

The first round warms up and is thrown away. The order is reversed every other round, so that
whoever comes second gains nothing from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from bench.server import Server

Rounds: TypeAlias = "dict[str, dict[str, list[float]]]"
"""By side, by figure: one value a round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a side is given."""

    server: Server
    messages: int
    """How many, where a scenario lets the caller choose."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A column."""

    name: str
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Side:
    """Something that is measured: one of ours, or a reference."""

    name: str
    run: Callable[[Bench], Awaitable[Mapping[str, float]]]
    """Measures once; returns a value a figure, and may leave some out."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """One side over another."""

    of: str
    to: str
    figure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A question, who answers it, and in what figures."""

    name: str
    question: str
    figures: tuple[Figure, ...]
    sides: tuple[Side, ...]
    ratios: tuple[Ratio, ...] = ()


async def measure(
    scenario: Scenario, bench: Bench, *, repeats: int, on_step: Callable[[str], None]
) -> Rounds:
    """Run a warm-up round and `repeats` rounds; return the values of the latter.

    Args:
        scenario: what to measure.
        bench: what its sides are given.
        repeats: rounds that count.
        on_step: told what is being run, for whoever watches.
    """
    rounds: Rounds = {side.name: {} for side in scenario.sides}
    for number in range(repeats + 1):
        label = f"round {number} of {repeats}" if number else "warm-up"
        for side in scenario.sides if number % 2 else scenario.sides[::-1]:
            on_step(f"{scenario.name}: {label}, {side.name}")
            await bench.server.clear()
            values = await side.run(bench)
            if number:
                for figure, value in values.items():
                    rounds[side.name].setdefault(figure, []).append(value)
    return rounds
