"""How large a fleet should be: the decision, damped, and what an error does to it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import SignalsUnreadable
from octoqueue.fleet.sizing import Sizing
from octoqueue.scaling.behavior import KUBERNETES_DEFAULT, Behavior, DirectionRules, RatePolicy
from octoqueue.scaling.decision import Decision, Step
from octoqueue.scaling.hpa import Bounds

if TYPE_CHECKING:
    import pytest

QUICK = Behavior(
    up=DirectionRules(
        stabilization_window_seconds=0,
        policies=(RatePolicy(kind="Pods", value=2, period_seconds=10),),
    ),
    down=DirectionRules(
        stabilization_window_seconds=60,
        policies=(RatePolicy(kind="Percent", value=100, period_seconds=15),),
    ),
)


class Told:
    """Decides what it was told to; None is an error."""

    def __init__(self, workers: int | None) -> None:
        self.workers = workers
        self.warnings: tuple[str, ...] = ()
        self.is_held = False

    async def decide(self, fleet: str) -> Decision:
        if self.workers is None:
            raise SignalsUnreadable(fleet, reason="no Redis")
        return Decision(
            fleet=fleet,
            at_ms=0,
            workers=self.workers,
            is_active=True,
            steps=(Step(rule="hold", workers=self.workers, reason=""),) if self.is_held else (),
            reason=f"{self.workers} it is",
            warnings=self.warnings,
        )


def sizing(told: Told, *, most: int = 10, behavior: Behavior = QUICK) -> Sizing:
    return Sizing("coder", told, bounds=Bounds(least=1, most=most), behavior=behavior)


async def grown(
    each: Sizing, *, current: int, now: float, room: int = 99, elsewhere: int = 0
) -> int:
    """One look, of which as much comes true as there is room for."""
    await each.look()
    wish = each.wish(current=current, elsewhere=elsewhere, now=now)
    granted = max(1, min(wish.workers, room))
    each.taken(current=current, granted=granted, elsewhere=elsewhere, now=now)
    return granted


async def test_it_grows_no_faster_than_its_behavior_allows() -> None:
    each = sizing(Told(8))
    assert await grown(each, current=1, now=0) == 3
    assert await grown(each, current=3, now=5) == 3
    assert await grown(each, current=3, now=11) == 5


async def test_it_shrinks_only_when_nothing_more_was_wanted_for_the_window() -> None:
    told = Told(3)
    each = sizing(told)
    size = await grown(each, current=3, now=0)
    told.workers = 1
    for now in (10, 30, 59):
        size = await grown(each, current=size, now=now)
        assert size == 3
    assert await grown(each, current=size, now=61) == 1


async def test_an_error_changes_nothing_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    told = Told(None)
    each = sizing(told)
    for now in (0, 100, 1_000):
        assert await grown(each, current=4, now=now) == 4
    assert [record.message for record in caplog.records] == ["fleet_not_decided"]
    told.workers = 4
    await each.look()
    assert caplog.records[-1].message == "fleet_decided_again"


async def test_a_warning_is_told_when_it_is_new(caplog: pytest.LogCaptureFixture) -> None:
    told = Told(2)
    told.warnings = ("no fleet can meet this",)
    each = sizing(told)
    await each.look()
    await each.look()
    assert [record.message for record in caplog.records] == ["fleet_warning"]


async def test_workers_on_other_machines_count_towards_what_is_wanted() -> None:
    each = sizing(Told(5), behavior=KUBERNETES_DEFAULT)
    assert await grown(each, current=1, now=0, elsewhere=3) == 2


async def test_growth_that_found_no_room_does_not_count_against_the_rates() -> None:
    each = sizing(Told(8))
    for now in range(5):
        assert await grown(each, current=1, now=now, room=1) == 1
    assert await grown(each, current=1, now=5) == 3


@given(st.integers(0, 20), st.integers(0, 12), st.integers(0, 5))
async def test_the_wish_is_within_its_bounds(wanted: int, current: int, elsewhere: int) -> None:
    each = sizing(Told(wanted))
    await each.look()
    wish = each.wish(current=max(1, current), elsewhere=elsewhere, now=0)
    assert min(1, wanted) <= wish.workers <= max(10, current, wanted)


async def test_an_order_beyond_the_bounds_is_followed() -> None:
    told = Told(20)
    each = sizing(told, behavior=KUBERNETES_DEFAULT)
    assert await grown(each, current=10, now=0) == 20
    told.workers = 0
    other = sizing(told, behavior=Behavior(up=QUICK.up, down=QUICK.up))
    await other.look()
    assert other.wish(current=1, elsewhere=0, now=0).workers == 0


async def test_a_decision_that_is_held_may_raise_and_never_lowers() -> None:
    told = Told(3)
    told.is_held = True
    each = sizing(told)
    assert await grown(each, current=1, now=0) == 3
    told.workers = 1
    for now in (100, 1_000, 10_000):
        assert await grown(each, current=3, now=now) == 3
