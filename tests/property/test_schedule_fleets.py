"""A schedule of a second under any history of processes that start, die and have wrong clocks."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.running import gone
from tests.schedulers import Fleet, SkewedClock


@dataclass(frozen=True)
class Start:
    skew_ms: int


@dataclass(frozen=True)
class Die:
    which: int


@dataclass(frozen=True)
class Pass:
    milliseconds: int


@dataclass(frozen=True)
class Jump:
    """Somebody sets the clock of a machine."""

    which: int
    to_skew_ms: int


@dataclass(frozen=True)
class Fail:
    """The next call that fires gets no answer; it may have fired."""

    was_fired: bool


skews = st.integers(-2_000, 2_000)
steps = st.one_of(
    st.builds(Start, skews),
    st.builds(Die, st.integers(0, 9)),
    st.builds(Pass, st.integers(0, 30).map(lambda tenths: tenths * 100)),
    st.builds(Jump, st.integers(0, 9), skews),
    st.builds(Fail, st.booleans()),
)


class History:
    """What happens to one fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.alive: list[tuple[AsyncExitStack, SkewedClock]] = []

    async def take(self, step: Start | Die | Pass | Jump | Fail) -> None:
        if isinstance(step, Start):
            await self.start(step.skew_ms)
        elif isinstance(step, Pass):
            await self.fleet.pass_time(step.milliseconds)
        elif isinstance(step, Fail):
            self.fleet.store.before.clear()
            self.fleet.store.after.clear()
            self.fleet.store.fail("fire", gone(), lost_answer=step.was_fired)
        elif self.alive and isinstance(step, Die):
            process, _ = self.alive.pop(step.which % len(self.alive))
            await process.aclose()
        elif self.alive and isinstance(step, Jump):
            self.alive[step.which % len(self.alive)][1].skew_ms = step.to_skew_ms

    async def start(self, skew_ms: int) -> None:
        process, clock = AsyncExitStack(), SkewedClock(self.fleet.clock, skew_ms)
        await process.enter_async_context(self.fleet.scheduler(clock))
        self.alive.append((process, clock))

    async def end(self) -> None:
        for process, _ in self.alive:
            await process.aclose()


@settings(max_examples=60)
@given(history=st.lists(steps, max_size=25))
def test_each_tick_is_fired_once_and_in_order_and_none_is_missing(
    history: list[Start | Die | Pass | Jump | Fail],
) -> None:
    async def run() -> list[int]:
        fleet = Fleet(missed="catch_up")
        life = History(fleet)
        await life.start(0)
        for step in history:
            await life.take(step)
        await life.take(Start(0))
        await fleet.pass_time(10_000)  # whoever has met an error has tried again by then
        await life.end()
        assert fleet.elapsed_seconds() - 1 <= len(fleet.ticks()) <= fleet.elapsed_seconds()
        return fleet.ticks()

    ticks = asyncio.run(run())
    assert ticks == list(range(1, len(ticks) + 1))


@settings(max_examples=40)
@given(history=st.lists(steps, max_size=25))
def test_a_coalescing_schedule_fires_no_tick_twice_and_always_the_latest(
    history: list[Start | Die | Pass | Jump | Fail],
) -> None:
    async def run() -> tuple[list[int], int]:
        fleet = Fleet()
        life = History(fleet)
        await life.start(0)
        for step in history:
            await life.take(step)
        await life.take(Start(0))
        await fleet.pass_time(10_000)
        await life.end()
        return fleet.ticks(), fleet.elapsed_seconds()

    ticks, elapsed = asyncio.run(run())
    assert ticks == sorted(set(ticks))
    assert ticks[-1] == elapsed
