"""`python -m bench.compare BEFORE.json AFTER.json`: what changed from one run to the other.

Of each figure the ratio of the medians, after over before, and a 95 % interval: the rounds of both
runs are drawn again at random, with replacement, and the middle of what comes out is the interval
(bootstrap). Where it holds 1, nothing is known to have changed.

Weakness: an interval knows only of what varies between the rounds of a run. Another machine, other
work on it, another day vary more; for a verdict run both by turns, each more than once.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DRAWS = 4_000
_SURE = 0.95
_PAGE_WIDTH = 140
_HERE = ("machine", "system", "Python", "Redis")


@dataclass(frozen=True, slots=True)
class Interval:
    """A ratio, and between what it may be."""

    ratio: float
    low: float
    high: float

    @property
    def is_change(self) -> bool:
        """Whether it is known to differ from 1."""
        return not self.low <= 1 <= self.high


@dataclass(frozen=True, slots=True)
class Change:
    """A figure that both runs have."""

    scenario: str
    side: str
    figure: str
    before: float
    after: float
    interval: Interval
    better: str

    @property
    def verdict(self) -> str:
        """Say what it means."""
        if not self.interval.is_change:
            return ""
        if not self.better:
            return "changed"
        is_more = self.interval.ratio > 1
        return "better" if is_more == (self.better == "more") else "worse"


def interval(before: Sequence[float], after: Sequence[float], *, seed: int = 0) -> Interval:
    """Return the ratio of two medians with its bootstrap interval.

    Raises:
        ValueError: one has no values, or a median that is not above 0.
    """
    if not before or not after or min(median(before), median(after)) <= 0:
        raise ValueError(f"no ratio of {list(after)} to {list(before)}")
    draw = random.Random(seed)
    ratios: list[float] = []
    while len(ratios) < _DRAWS:
        drawn = median(draw.choices(before, k=len(before)))
        if drawn > 0:
            ratios.append(median(draw.choices(after, k=len(after))) / drawn)
    ratios.sort()
    outside = round((1 - _SURE) / 2 * _DRAWS)
    return Interval(median(after) / median(before), ratios[outside], ratios[-outside - 1])


def changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    """Yield what both files have, in the order of the second."""
    for name, scenario in after["scenarios"].items():
        other: dict[str, dict[str, list[float]]]
        other = before["scenarios"].get(name, {}).get("rounds", {})
        better: dict[str, str] = scenario.get("better", {})
        for side, figures in scenario["rounds"].items():
            for figure, values in figures.items():
                values_before = other.get(side, {}).get(figure)
                if (
                    not values
                    or not values_before
                    or not (median(values) > 0 < median(values_before))
                ):
                    continue
                yield Change(
                    scenario=name,
                    side=side,
                    figure=figure,
                    before=median(values_before),
                    after=median(values),
                    interval=interval(values_before, values),
                    better=better.get(figure, ""),
                )


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return in what the machines differ, in words."""
    one, two = before["facts"], after["facts"]
    return [
        f"{name}: {one.get(name)} before, {two.get(name)} after"
        for name in _HERE
        if one.get(name) != two.get(name)
    ]


def show(console: Console, found: Sequence[Change], *, only_changed: bool) -> None:
    """Print a table."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("", "", "", "before", "after", "ratio", "95 % interval", ""):
        table.add_column(column, justify="right" if column else "left")
    shown = ("", "")
    for change in found:
        if only_changed and not change.interval.is_change:
            continue
        labels = (change.scenario, change.side)
        table.add_row(
            "" if labels[0] == shown[0] else f"[bold]{labels[0]}",
            "" if labels == shown else labels[1],
            change.figure,
            f"{change.before:,.4g}" if change.before < 100 else f"{change.before:,.0f}",
            f"{change.after:,.4g}" if change.after < 100 else f"{change.after:,.0f}",
            f"{change.interval.ratio:.2f}",
            f"{change.interval.low:.2f} to {change.interval.high:.2f}",
            change.verdict,
        )
        shown = labels
    console.print(table)


def main(words: list[str] | None = None) -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("before", type=Path, metavar="BEFORE.json")
    parser.add_argument("after", type=Path, metavar="AFTER.json")
    parser.add_argument("--changed", action="store_true", help="show only what is known to differ")
    asked = parser.parse_args(words)
    before, after = (orjson.loads(path.read_bytes()) for path in (asked.before, asked.after))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PAGE_WIDTH)
    for difference in differences(before, after):
        console.print(f"not the same machine: {difference}", style="yellow", highlight=False)
    for name, facts in (("before", before["facts"]), ("after", after["facts"])):
        console.print(f"{name}: {facts.get('octoqueue')}, {facts.get('date')}", highlight=False)
    show(console, list(changes(before, after)), only_changed=asked.changed)


if __name__ == "__main__":
    main()
