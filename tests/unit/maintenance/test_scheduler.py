"""Schedules are followed by the store's clock, through outages and full lanes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import octoqueue
from octoqueue.maintenance.store_clock import StoreClock
from octoqueue.testing.fake_clock import FakeClock
from tests.running import gone, until
from tests.schedulers import Fleet, SkewedClock

if TYPE_CHECKING:
    import pytest


async def test_each_tick_is_fired_when_it_is_due() -> None:
    fleet = Fleet()
    async with fleet.scheduler():
        await fleet.pass_time(3_500)
        assert fleet.ticks() == [1, 2, 3]


async def test_of_several_processes_with_wrong_clocks_one_fires_each_tick() -> None:
    fleet = Fleet(missed="catch_up")
    one, two = SkewedClock(fleet.clock, 2_000), SkewedClock(fleet.clock, -2_000)
    async with fleet.scheduler(one), fleet.scheduler(two), fleet.scheduler():
        await fleet.pass_time(999)
        assert fleet.ticks() == []
        await fleet.pass_time(5_000)
        assert fleet.ticks() == [1, 2, 3, 4, 5]


async def test_the_past_of_a_schedule_that_is_new_is_not_fired() -> None:
    fleet = Fleet(cron="* * * * * *", missed="catch_up")
    del fleet.options["every"]
    async with fleet.scheduler():
        await fleet.pass_time(1_000)
    assert fleet.ticks() == [1]


async def test_a_coalescing_schedule_fires_the_latest_of_what_it_missed() -> None:
    fleet = Fleet()
    async with fleet.scheduler():
        await fleet.pass_time(1_000)
    fleet.clock.advance(200_500)
    async with fleet.scheduler():
        await until(lambda: len(fleet.ticks()) == 2)
        await fleet.pass_time(1_000)
    assert fleet.ticks() == [1, 201, 202]


async def test_a_schedule_that_catches_up_fires_all_it_missed_in_order() -> None:
    fleet = Fleet(missed="catch_up")
    async with fleet.scheduler():
        await fleet.pass_time(1_000)
    fleet.clock.advance(300_500)
    async with fleet.scheduler(), fleet.scheduler():
        await until(lambda: len(fleet.ticks()) == 301)
        await fleet.pass_time(1_000)
    assert fleet.ticks() == list(range(1, 303))


async def test_what_is_too_much_to_catch_up_with_is_dropped_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fleet = Fleet(missed="catch_up", catch_up_limit=5)
    async with fleet.scheduler():
        await fleet.pass_time(1_000)
    fleet.clock.advance(300_500)
    async with fleet.scheduler():
        await until(lambda: len(fleet.ticks()) == 6)
    assert fleet.ticks() == [1, 297, 298, 299, 300, 301]
    assert [r.message for r in caplog.records].count("schedule_ticks_dropped") == 1


async def test_a_full_lane_delays_ticks_and_loses_none(caplog: pytest.LogCaptureFixture) -> None:
    fleet = Fleet(missed="catch_up", lane="low")
    async with fleet.scheduler(), fleet.scheduler():
        await fleet.pass_time(15_000)
        assert fleet.ticks() == [1, 2]
        # Each process says so once, not at every try.
        assert [r.message for r in caplog.records].count("schedule_delayed") == 2
        low = fleet.inner._queue("default").ready[octoqueue.Lane.LOW]
        low.clear()
        await fleet.pass_time(5_000)
        assert fleet.ticks() == [3, 4]


async def test_a_tick_whose_message_is_a_duplicate_is_skipped_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    fleet = Fleet(missed="catch_up")
    fleet.actor_options = {"unique": octoqueue.Unique(until="done")}
    async with fleet.scheduler():
        await fleet.pass_time(3_000)
        assert fleet.ticks() == [1]
    told = [r.message for r in caplog.records if r.name.endswith("scheduler")]
    assert told == ["schedule_fired", "schedule_skipped", "schedule_skipped"]


async def test_an_outage_of_the_store_delays_ticks_and_loses_none() -> None:
    fleet = Fleet(missed="catch_up")
    async with fleet.scheduler():
        fleet.store.fail("fire", gone(), gone(), RuntimeError("surprise"))
        await fleet.pass_time(20_000)
        assert fleet.ticks() == list(range(1, 21))


async def test_a_lost_answer_doubles_nothing() -> None:
    fleet = Fleet(missed="catch_up")
    async with fleet.scheduler():
        fleet.store.fail("fire", gone(), gone(), gone(), lost_answer=True)
        await fleet.pass_time(20_000)
        assert fleet.ticks() == list(range(1, 21))


async def test_a_process_that_starts_without_a_store_begins_when_it_is_there() -> None:
    fleet = Fleet()
    fleet.store.fail("last_tick", gone(), RuntimeError("surprise"))
    async with fleet.scheduler():
        await fleet.pass_time(12_000)
        assert 1 < len(fleet.ticks()) < 12


async def test_between_ticks_the_store_is_not_asked() -> None:
    fleet = Fleet(every=timedelta(days=1))
    async with fleet.scheduler():
        before = len(fleet.store.calls)
        await fleet.pass_time(50 * 60_000, step_ms=10_000)
        assert len(fleet.store.calls) == before


async def test_a_clock_that_jumps_makes_the_store_be_asked_once() -> None:
    fleet = Fleet(every=timedelta(days=1))
    clock = SkewedClock(fleet.clock, 0)
    async with fleet.scheduler(clock):
        clock.skew_ms = 3_600_000  # as after a suspended machine woke up
        await fleet.pass_time(120_000, step_ms=10_000)
        assert len(fleet.store.called("now_ms")) == 1


async def test_no_error_while_asking_for_the_time_ends_a_schedule() -> None:
    fleet = Fleet(every=timedelta(minutes=10))
    clock = SkewedClock(fleet.clock, 0)
    async with fleet.scheduler(clock):
        fleet.store.fail("now_ms", gone(), RuntimeError("surprise"))
        clock.skew_ms = 3_600_000
        await fleet.pass_time(20 * 60_000, step_ms=10_000)
        # What has come due since long ago is looked for in a thread, which takes its own time.
        await until(lambda: len(fleet.ticks()) == 2)
        assert fleet.ticks() == [200, 800]
        assert len(fleet.store.called("now_ms")) == 3


async def test_a_drifting_clock_is_asked_for_once_an_hour() -> None:
    fleet = Fleet(every=timedelta(days=1))
    async with fleet.scheduler():
        await fleet.pass_time(3 * 3_600_000 + 120_000, step_ms=10_000)
        assert len(fleet.store.called("now_ms")) == 3


def test_the_stores_clock_does_not_move_with_the_machines() -> None:
    base = FakeClock(5_000)
    machine = SkewedClock(base, 0)
    clock = StoreClock(machine)
    clock.set(90_000)
    base.advance(100)
    assert (clock.now_ms(), clock.is_doubtful) == (90_100, False)
    machine.skew_ms = 251
    assert (clock.now_ms(), clock.is_doubtful) == (90_100, True)
    clock.set(95_000)
    assert (clock.now_ms(), clock.is_doubtful) == (95_000, False)
