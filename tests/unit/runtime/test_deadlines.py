"""`Deadlines` on a loop whose time the test moves."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, cast

from octoqueue.runtime.deadlines import Deadlines

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class StillLoop:
    """The two methods of a loop that `Deadlines` uses, on a clock that stands still."""

    def __init__(self) -> None:
        self.now = 100.0
        self.fired = 0
        self._timers: list[tuple[float, int, StillTimer]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., None], *args: object) -> StillTimer:
        timer = StillTimer(callback, args)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    @property
    def armed(self) -> int:
        return sum(not timer.cancelled for _, _, timer in self._timers)

    def move_to(self, moment: float) -> None:
        """Move time, stopping at each timer on the way."""
        while self._timers and self._timers[0][0] <= moment:
            when, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            if not timer.cancelled:
                self.fired += 1
                assert self.fired < 1_000, "the timers fire without end"
                timer.callback(*timer.args)
        self.now = moment


class StillTimer:
    def __init__(self, callback: Callable[..., None], args: tuple[object, ...]) -> None:
        self.callback, self.args, self.cancelled = callback, args, False

    def cancel(self) -> None:
        self.cancelled = True


def deadlines_on(loop: StillLoop) -> tuple[Deadlines[str], list[tuple[float, str]]]:
    told: list[tuple[float, str]] = []

    def tell(attempt: str) -> None:
        told.append((loop.now, attempt))

    return Deadlines[str](cast("asyncio.AbstractEventLoop", loop), tell), told


def test_an_attempt_is_told_when_its_limit_is_over_and_not_before() -> None:
    loop = StillLoop()
    deadlines, told = deadlines_on(loop)
    deadlines.add("a", 10.0)
    loop.move_to(109.9)
    assert told == []
    loop.move_to(110.0)
    assert told == [(110.0, "a")]


def test_an_attempt_that_ended_in_time_is_never_told() -> None:
    loop = StillLoop()
    deadlines, told = deadlines_on(loop)
    deadlines.add("a", 10.0)
    deadlines.remove("a", 10.0)
    loop.move_to(1_000.0)
    assert told == []


def test_one_that_does_not_end_is_told_again_every_second_without_spinning() -> None:
    loop = StillLoop()
    deadlines, told = deadlines_on(loop)
    deadlines.add("stubborn", 300.0)
    loop.move_to(200.0)
    deadlines.add("young", 300.0)
    loop.move_to(405.5)
    assert [moment for moment, who in told if who == "stubborn"] == [
        400.0,
        401.0,
        402.0,
        403.0,
        404.0,
        405.0,
    ]
    assert loop.fired < 20
    deadlines.remove("stubborn", 300.0)
    loop.move_to(500.0)
    assert told[-1] == (500.0, "young")


def test_a_stubborn_one_does_not_delay_those_with_a_short_limit() -> None:
    loop = StillLoop()
    deadlines, told = deadlines_on(loop)
    deadlines.add("stubborn", 0.1)
    loop.move_to(100.2)
    deadlines.add("late", 0.1)
    loop.move_to(100.35)
    assert [who for _, who in told] == ["stubborn", "late"]


def test_a_limit_as_long_as_the_pause_between_two_asks_is_kept_too() -> None:
    loop = StillLoop()
    deadlines, told = deadlines_on(loop)
    deadlines.add("stubborn", 1.0)
    loop.move_to(100.5)
    deadlines.add("late", 1.0)
    loop.move_to(102.2)
    assert told == [(101.0, "stubborn"), (101.5, "late"), (102.0, "stubborn")]


def test_limits_of_different_length_each_keep_theirs() -> None:
    loop = StillLoop()
    deadlines, told = deadlines_on(loop)
    deadlines.add("long", 60.0)
    deadlines.add("short", 1.0)
    loop.move_to(101.0)
    assert [who for _, who in told] == ["short"]


def test_no_timer_is_left_when_nothing_runs() -> None:
    loop = StillLoop()
    deadlines, _ = deadlines_on(loop)
    for number in range(100):
        limit = 1.0 + number
        deadlines.add("a", limit)
        deadlines.remove("a", limit)
    loop.move_to(1_000.0)
    assert loop.armed == 0
    assert not deadlines.watched


def test_clearing_cancels_every_timer() -> None:
    loop = StillLoop()
    deadlines, told = deadlines_on(loop)
    deadlines.add("a", 1.0)
    deadlines.clear()
    loop.move_to(1_000.0)
    assert told == []
    deadlines.remove("a", 1.0)


def test_limits_that_nobody_runs_under_any_more_do_not_collect() -> None:
    loop = StillLoop()
    deadlines, told = deadlines_on(loop)
    for number in range(10_000):
        deadlines.add("a", 100.0 + number)
        deadlines.remove("a", 100.0 + number)
    assert loop.armed < 200
    loop.move_to(100_000.0)
    assert told == []
