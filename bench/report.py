"""What was measured, as tables to read and as JSON to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from bench.figures import Spread, paired_ratio, spread_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from bench.harness import Ratio, Rounds, Scenario

_NOISY = "~"


def show_facts(console: Console, facts: dict[str, str]) -> None:
    """Print machine and versions."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(f"[dim]{name}", value)
    console.print(table)


def show(console: Console, scenario: Scenario, rounds: Rounds) -> None:
    """Print a table of the sides and a line for each ratio."""
    table = Table()
    table.add_column("median (lowest to highest)", no_wrap=True)
    for figure in scenario.figures:
        table.add_column(figure.name, justify="right")
    for side in scenario.sides:
        cells = [
            _cell(rounds[side.name].get(figure.name), figure.digits) for figure in scenario.figures
        ]
        table.add_row(side.name, *cells)
    console.print(f"\n[bold]{scenario.name}[/bold]: {scenario.question}", highlight=False)
    console.print(table)
    for ratio, spread in ratios(scenario, rounds):
        console.print(f"  {ratio.of} / {ratio.to}, {ratio.figure}: {_text(spread, 2)}")


def ratios(scenario: Scenario, rounds: Rounds) -> Iterator[tuple[Ratio, Spread]]:
    """Yield each ratio of a scenario, taken round by round."""
    for ratio in scenario.ratios:
        of, to = rounds[ratio.of][ratio.figure], rounds[ratio.to][ratio.figure]
        yield ratio, paired_ratio(of, to)


def as_json(facts: dict[str, str], measured: dict[str, tuple[Scenario, Rounds]]) -> dict[str, Any]:
    """Return everything that was measured, with every round."""
    return {
        "facts": facts,
        "scenarios": {
            name: {
                "question": scenario.question,
                "better": {each.name: each.better for each in scenario.figures if each.better},
                "rounds": rounds,
                "medians": {
                    side: {figure: spread_of(values).median for figure, values in figures.items()}
                    for side, figures in rounds.items()
                },
                "ratios": [
                    {
                        "of": ratio.of,
                        "to": ratio.to,
                        "figure": ratio.figure,
                        "median": spread.median,
                        "low": spread.low,
                        "high": spread.high,
                    }
                    for ratio, spread in ratios(scenario, rounds)
                ],
            }
            for name, (scenario, rounds) in measured.items()
        },
    }


def _cell(values: list[float] | None, digits: int) -> str:
    return "" if values is None else _text(spread_of(values), digits)


def _text(spread: Spread, digits: int) -> str:
    low, middle, high = (
        f"{value:,.{digits}f}" for value in (spread.low, spread.median, spread.high)
    )
    mark = _NOISY if spread.is_noisy else ""
    return middle if low == middle == high else f"{mark}{middle} ({low} to {high})"
