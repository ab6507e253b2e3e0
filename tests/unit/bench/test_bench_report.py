from __future__ import annotations

import json

import pytest
from rich.console import Console

from bench.__main__ import SCENARIOS, parsed
from bench.harness import Bench, Figure, Ratio, Scenario, Side
from bench.report import as_json, show, show_facts


async def nothing(_bench: Bench) -> dict[str, float]:
    return {}


SCENARIO = Scenario(
    name="drain",
    question="how fast?",
    figures=(Figure("messages/s"), Figure("CPU µs", 1)),
    sides=(Side("ours", nothing), Side("bare", nothing)),
    ratios=(Ratio("ours", "bare", "messages/s"),),
)
ROUNDS = {
    "ours": {"messages/s": [30_000.0, 40_000.0, 35_000.0], "CPU µs": [18.44, 18.44, 18.44]},
    "bare": {"messages/s": [100_000.0, 100_000.0, 100_000.0]},
}


def printed(*, width: int = 120) -> str:
    console = Console(width=width, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        show_facts(console, {"Python": "3.11"})
        show(console, SCENARIO, ROUNDS)
    return capture.get()


def test_a_table_gives_median_and_range_and_marks_noise() -> None:
    text = printed()
    assert "~35,000 (30,000 to 40,000)" in text
    assert "100,000" in text


def test_a_figure_that_never_varied_has_no_range() -> None:
    assert "18.4 (" not in printed()
    assert "18.4" in printed()


def test_a_ratio_stands_below_its_table() -> None:
    assert "ours / bare, messages/s: ~0.35 (0.30 to 0.40)" in printed()


def test_a_side_may_leave_a_figure_out() -> None:
    rows = [line for line in printed().splitlines() if " bare " in line]
    assert rows[0].count("│") == 4


def test_the_json_holds_every_round() -> None:
    found = json.loads(json.dumps(as_json({"Python": "3.11"}, {"drain": (SCENARIO, ROUNDS)})))
    drain = found["scenarios"]["drain"]
    assert found["facts"] == {"Python": "3.11"}
    assert drain["rounds"] == ROUNDS
    assert drain["medians"]["ours"] == {"messages/s": 35_000.0, "CPU µs": 18.44}
    assert drain["ratios"] == [
        {
            "of": "ours",
            "to": "bare",
            "figure": "messages/s",
            "median": 0.35,
            "low": 0.3,
            "high": 0.4,
        }
    ]


def test_every_ratio_of_every_scenario_names_sides_and_figures_that_exist() -> None:
    for scenario in SCENARIOS.values():
        sides = {side.name for side in scenario.sides}
        figures = {figure.name for figure in scenario.figures}
        assert len(sides) == len(scenario.sides)
        for ratio in scenario.ratios:
            assert {ratio.of, ratio.to} <= sides
            assert ratio.figure in figures


def test_without_words_everything_is_measured_five_times() -> None:
    asked = parsed([])
    assert (asked.scenarios, asked.repeats, asked.messages, asked.json) == ([], 5, 10_000, None)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["speed"], "no scenario 'speed'"),
        (["--repeats", "0"], "must be 1 or more"),
        (["--messages", "1500"], "multiple of 1000"),
        (["--repeats", "many"], "invalid"),
    ],
)
def test_a_wrong_command_line_is_refused(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        parsed(words)
    assert refused.value.code == 2
    assert complaint in capsys.readouterr().err
