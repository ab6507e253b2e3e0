from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from bench.harness import Bench, Figure, Ratio, Scenario, Side, Stage, measure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from bench.server import Server


class EmptyServer:
    """Counts how often it was emptied."""

    def __init__(self) -> None:
        self.cleared = 0

    async def clear(self) -> None:
        self.cleared += 1


def recording(name: str, calls: list[str], value: float) -> Side:
    """A side that notes its turn and measures the number of the turn times `value`."""

    async def run(_bench: Bench) -> Mapping[str, float]:
        calls.append(name)
        return {"speed": value * calls.count(name)}

    return Side(name, run)


async def measured(
    repeats: int, *, most_rounds: int | None = None, clears: bool = True
) -> tuple[list[str], dict[str, dict[str, list[float]]], int]:
    calls: list[str] = []
    server = EmptyServer()
    scenario = Scenario(
        name="s",
        question="?",
        figures=(Figure("speed"),),
        sides=(recording("a", calls, 1.0), recording("b", calls, 10.0)),
        ratios=(Ratio("a", "b", "speed"),),
        most_rounds=most_rounds,
        clears=clears,
    )
    bench = Bench(server=cast("Server", server), messages=1_000)
    rounds = await measure(scenario, bench, repeats=repeats, on_step=lambda _: None)
    return calls, rounds, server.cleared


async def test_sides_take_turns_and_the_order_is_reversed_every_other_round() -> None:
    calls, _, _ = await measured(repeats=3)
    assert "".join(calls) == "baabbaab"
    halves = [calls[n : n + 2] for n in range(0, len(calls), 2)]
    assert all(sorted(half) == ["a", "b"] for half in halves)


async def test_the_warm_up_round_does_not_count() -> None:
    _, rounds, _ = await measured(repeats=2)
    assert rounds == {"a": {"speed": [2.0, 3.0]}, "b": {"speed": [20.0, 30.0]}}


async def test_every_side_begins_with_an_empty_server() -> None:
    calls, _, cleared = await measured(repeats=2)
    assert cleared == len(calls) + 1  # and once at the very beginning


async def test_a_scenario_may_want_fewer_rounds_than_were_asked_for() -> None:
    calls, _, _ = await measured(repeats=5, most_rounds=1)
    assert "".join(calls) == "baab"


async def test_a_scenario_may_keep_what_is_on_the_server() -> None:
    _, _, cleared = await measured(repeats=3, clears=False)
    assert cleared == 1


async def test_what_is_kept_is_made_once_and_let_go_of_at_the_end() -> None:
    told: list[str] = []

    @asynccontextmanager
    async def made() -> AsyncIterator[int]:
        told.append("made")
        yield len(told)
        told.append("left")

    async def run(bench: Bench) -> Mapping[str, float]:
        return {"kept": await bench.stage.keep("it", made)}

    scenario = Scenario(
        name="s", question="?", figures=(Figure("kept"),), sides=(Side("a", run), Side("b", run))
    )
    bench = Bench(server=cast("Server", EmptyServer()), messages=1_000)
    for _ in range(2):
        told.clear()
        rounds = await measure(scenario, bench, repeats=2, on_step=lambda _: None)
        assert told == ["made", "left"]
        assert rounds == {"a": {"kept": [1, 1]}, "b": {"kept": [1, 1]}}


async def test_what_was_kept_on_one_stage_is_not_on_the_next() -> None:
    bench = Bench(server=cast("Server", EmptyServer()), messages=1_000)

    @asynccontextmanager
    async def made() -> AsyncIterator[object]:
        yield object()

    async with Stage() as first, Stage() as second:
        one = await replace(bench, stage=first).stage.keep("it", made)
        assert await replace(bench, stage=second).stage.keep("it", made) is not one
