"""Rounds: every side of a scenario once a round, in turn, so that all see the same machine.

The first round warms up and is thrown away. The order is reversed every other round, so that
whoever comes second gains nothing from it. What a side needs in every round, a process say, it may
keep on the scenario's stage.

Weakness: a process that is kept is one throw of the dice of memory layout and hash seeds. Figures
of two runs differ by more than the rounds of one of them show.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from bench.server import Server

T = TypeVar("T")

Rounds: TypeAlias = "dict[str, dict[str, list[float]]]"
"""By side, by figure: one value a round."""


class Stage:
    """What the sides of one scenario keep from round to round; let go of at its end."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._kept: dict[str, Any] = {}

    async def keep(self, name: str, made: Callable[[], AbstractAsyncContextManager[T]]) -> T:
        """Return what is kept by that name; what is `made` is entered when nothing is."""
        if name not in self._kept:
            self._kept[name] = await self._stack.enter_async_context(made())
        kept: T = self._kept[name]
        return kept

    async def __aenter__(self) -> Self:
        """Begin with nothing."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave everything that was entered, in reverse order."""
        self._kept.clear()
        await self._stack.__aexit__(exc_type, exc, traceback)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a side is given."""

    server: Server
    messages: int
    """How many, where a scenario lets the caller choose."""
    stage: Stage = field(default_factory=Stage)
    """Of the scenario that is being measured."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A column."""

    name: str
    digits: int = 0
    better: Literal["more", "less", ""] = ""
    """Which way is better, where one is."""


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
    most_rounds: int | None = None
    """Where a round takes long: fewer count than were asked for."""
    clears: bool = True
    """Whether each side begins with an empty server."""


async def measure(
    scenario: Scenario, bench: Bench, *, repeats: int, on_step: Callable[[str], None]
) -> Rounds:
    """Run a warm-up round and `repeats` rounds; return the values of the latter.

    Args:
        scenario: what to measure.
        bench: what its sides are given, with a stage of their own.
        repeats: rounds that count, unless the scenario wants fewer.
        on_step: told what is being run, for whoever watches.
    """
    rounds: Rounds = {side.name: {} for side in scenario.sides}
    repeats = min(repeats, scenario.most_rounds or repeats)
    await bench.server.clear()
    async with Stage() as stage:
        on_stage = replace(bench, stage=stage)
        for number in range(repeats + 1):
            label = f"round {number} of {repeats}" if number else "warm-up"
            for side in scenario.sides if number % 2 else scenario.sides[::-1]:
                on_step(f"{scenario.name}: {label}, {side.name}")
                if scenario.clears:
                    await bench.server.clear()
                values = await side.run(on_stage)
                if number:
                    for figure, value in values.items():
                        rounds[side.name].setdefault(figure, []).append(value)
    return rounds
