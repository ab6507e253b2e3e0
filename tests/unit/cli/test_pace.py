"""How fast a command works something off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.cli.pace import Pace, pace_from, worked_off
from octoqueue.testing.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTEXT = cast("typer.Context", None)


@pytest.mark.parametrize(
    ("text", "per_second"), [("50/s", 50), ("90 / m", 1.5), ("1800/h", 0.5), ("0.5/s", 0.5)]
)
def test_a_rate_is_read(text: str, per_second: float) -> None:
    assert pace_from(CONTEXT, text) == Pace(per_second)


@pytest.mark.parametrize("text", ["", "50", "fast", "0/s", "-1/s", "5/w", "5/", "/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no rate; write 50/s"):
        pace_from(CONTEXT, text)


def test_without_a_rate_there_is_no_pace() -> None:
    assert pace_from(CONTEXT, None) is None


@given(st.integers(0, 300), st.sampled_from([0.5, 1, 7, 50, 1_000]))
def test_no_more_is_handed_over_than_the_pace_allows(count: int, per_second: float) -> None:
    pace, clock = Pace(per_second), FakeClock(0)
    handed: list[tuple[float, int]] = []

    async def act(some: Sequence[int]) -> None:
        handed.append((clock.monotonic(), len(some)))

    async def run() -> None:
        working = asyncio.create_task(
            worked_off(range(count), act, most=100, pace=pace, clock=clock)
        )
        while not working.done():
            await asyncio.sleep(0)
            clock.advance(50)
        await working

    asyncio.run(run())
    at_once, total = pace.at_once(100), 0
    for at_seconds, size in handed:
        total += size
        assert total <= at_once + per_second * at_seconds + 1e-6
    assert total == count
    assert 1 <= at_once <= 100
