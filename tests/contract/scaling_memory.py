"""What a scaling memory promises."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest

from octoqueue.primitives.signals import ArrivalForecast, ExpectedArrivals
from octoqueue.scaling.decision import Decision, Step
from octoqueue.scaling.wishes import Lead, Wish, WishChanges

if TYPE_CHECKING:
    from octoqueue.metrics.scaling_memory import ScalingMemory
    from octoqueue.testing.fake_clock import FakeClock

HOUR = timedelta(hours=1)
FLEET = "executor"


class MemoryWorld(NamedTuple):
    memory: ScalingMemory
    clock: FakeClock


def decision(
    at_ms: int,
    workers: int = 3,
    *,
    active_at_ms: int | None = None,
    rule: str = "depth",
    reason: str = "30 messages, 10 a worker",
    fleet: str = FLEET,
) -> Decision:
    step = Step(rule=rule, workers=workers, reason=reason, is_decisive=True)  # type: ignore[arg-type]
    return Decision(
        fleet=fleet,
        at_ms=at_ms,
        workers=workers,
        is_active=workers > 0,
        steps=(step,),
        reason=reason,
        warnings=("the objective cannot be met",),
        last_active_at_ms=active_at_ms,
    )


def forecast(made_at_ms: int, per_second: float = 2.5) -> ArrivalForecast:
    minutes = tuple(
        ExpectedArrivals(
            starts_at_ms=made_at_ms + 60_000 * minute,
            per_second=per_second,
            low_per_second=per_second / 2,
            high_per_second=per_second * 2,
        )
        for minute in range(3)
    )
    return ArrivalForecast(
        made_at_ms=made_at_ms,
        minutes=minutes,
        interval=0.9,
        skill_against_now=0.25,
        skill_against_last_week=-0.1,
        scored_minutes=1_440,
    )


class ScalingMemoryContract:
    async def test_of_a_fleet_never_seen_nothing_is_remembered(self, world: MemoryWorld) -> None:
        found = await world.memory.recall(FLEET)
        assert (found.fleet, found.now_ms) == (FLEET, world.clock.now_ms())
        assert (found.override, found.decision, found.forecast) == (None, None, None)
        assert (found.wishes, found.leads, found.lead_seconds) == ((), (), None)
        assert (found.active_seconds_ago(), found.waiting_seconds) == (None, 0)
        assert await world.memory.recent(FLEET) == ()

    async def test_a_decision_is_remembered_as_it_was_made(self, world: MemoryWorld) -> None:
        now = world.clock.now_ms()
        made = decision(now, active_at_ms=now)
        assert await world.memory.remember(made) == (True, ())
        found = await world.memory.recall(FLEET)
        assert (found.decision, found.active_at_ms) == (made, now)

    async def test_fleets_are_remembered_apart(self, world: MemoryWorld) -> None:
        now = world.clock.now_ms()
        await world.memory.remember(decision(now))
        await world.memory.set_override(FLEET, 2, lasting=HOUR, said_by="ada")
        await world.memory.publish(FLEET, forecast(now))
        found = await world.memory.recall("executor.eu")
        assert (found.override, found.decision, found.forecast) == (None, None, None)


class Deciding:
    async def test_the_decision_made_last_wins_whichever_arrives_last(
        self, world: MemoryWorld
    ) -> None:
        now = world.clock.now_ms()
        assert (await world.memory.remember(decision(now, 5))).is_last
        assert not (await world.memory.remember(decision(now - 1, 9))).is_last
        found = (await world.memory.recall(FLEET)).decision
        assert found is not None
        assert found.workers == 5

    async def test_a_clock_that_was_set_back_does_not_keep_an_old_decision_for_ever(
        self, world: MemoryWorld
    ) -> None:
        now = world.clock.now_ms()
        await world.memory.remember(decision(now, 5, active_at_ms=now))
        world.clock.advance(-60_000)
        before = world.clock.now_ms()
        assert (await world.memory.remember(decision(before, 9, active_at_ms=before))).is_last
        found = await world.memory.recall(FLEET)
        assert found.decision is not None
        assert (found.decision.workers, found.active_at_ms) == (9, before)

    async def test_the_last_activity_never_goes_back(self, world: MemoryWorld) -> None:
        now = world.clock.now_ms()
        await world.memory.remember(decision(now, active_at_ms=now))
        world.clock.advance(5_000)
        await world.memory.remember(decision(now + 5_000, active_at_ms=now - 2_000))
        await world.memory.remember(decision(now + 5_000, active_at_ms=None))
        found = await world.memory.recall(FLEET)
        assert (found.active_at_ms, found.active_seconds_ago()) == (now, 5)

    async def test_only_decisions_that_differ_are_listed(self, world: MemoryWorld) -> None:
        now = world.clock.now_ms()
        for second, workers in enumerate((1, 1, 1, 4, 4, 2)):
            world.clock.advance(1_000)
            made = decision(now + 1_000 * (second + 1), workers, reason=f"at second {second}")
            await world.memory.remember(made)
        told = await world.memory.recent(FLEET)
        assert [(one.workers, one.reason) for one in told] == [
            (2, "at second 5"),
            (4, "at second 3"),
            (1, "at second 0"),
        ]
        assert len(await world.memory.recent(FLEET, limit=2)) == 2

    async def test_another_reason_is_another_decision(self, world: MemoryWorld) -> None:
        now = world.clock.now_ms()
        await world.memory.remember(decision(now, 3, rule="depth"))
        await world.memory.remember(decision(now, 3, rule="maximum"))
        assert len(await world.memory.recent(FLEET)) == 2

    async def test_not_all_decisions_are_kept(self, world: MemoryWorld) -> None:
        now = world.clock.now_ms()
        for workers in range(70):
            await world.memory.remember(decision(now, workers))
        assert len(await world.memory.recent(FLEET, limit=1_000)) == 50


class Overriding:
    async def test_an_override_counts_until_it_ends_by_the_stores_clock(
        self, world: MemoryWorld
    ) -> None:
        now = world.clock.now_ms()
        said = await world.memory.set_override(
            FLEET, 4, lasting=HOUR, said_by="ada", beyond_max=True
        )
        assert (said.workers, said.until_ms) == (4, now + 3_600_000)
        assert (said.said_by, said.beyond_max) == ("ada", True)
        world.clock.advance(3_599_999)
        assert (await world.memory.recall(FLEET)).override == said
        world.clock.advance(1)
        assert (await world.memory.recall(FLEET)).override is None

    async def test_the_last_override_wins(self, world: MemoryWorld) -> None:
        await world.memory.set_override(FLEET, 4, lasting=HOUR, said_by="ada")
        later = await world.memory.set_override(FLEET, 0, lasting=HOUR / 2, said_by="bob")
        assert (await world.memory.recall(FLEET)).override == later

    async def test_an_override_can_be_ended(self, world: MemoryWorld) -> None:
        await world.memory.set_override(FLEET, 4, lasting=HOUR, said_by="ada")
        assert await world.memory.clear_override(FLEET)
        assert (await world.memory.recall(FLEET)).override is None
        assert not await world.memory.clear_override(FLEET)

    async def test_one_that_is_over_is_none_to_be_ended(self, world: MemoryWorld) -> None:
        await world.memory.set_override(FLEET, 4, lasting=timedelta(seconds=1), said_by="ada")
        world.clock.advance(1_000)
        assert not await world.memory.clear_override(FLEET)

    async def test_of_those_who_want_to_lead_the_first_does_until_its_time_is_over(
        self, world: MemoryWorld
    ) -> None:
        lead, minute = world.memory.lead, timedelta(minutes=1)
        assert await lead(FLEET, "a", lasting=minute) == "a"
        assert await lead(FLEET, "b", lasting=minute) == "a"
        world.clock.advance(minute - timedelta(seconds=1))
        assert await lead(FLEET, "a", lasting=minute) == "a"
        world.clock.advance(timedelta(seconds=2))
        assert await lead(FLEET, "b", lasting=minute) == "a"
        world.clock.advance(minute)
        assert await lead(FLEET, "b", lasting=minute) == "b"

    async def test_a_clock_that_was_set_back_keeps_nobody_who_is_gone_in_the_lead(
        self, world: MemoryWorld
    ) -> None:
        lead, minute = world.memory.lead, timedelta(minutes=1)
        await lead(FLEET, "a", lasting=minute)
        world.clock.advance(timedelta(seconds=-5))
        assert await lead(FLEET, "b", lasting=minute) == "a"
        world.clock.advance(timedelta(hours=-1))
        assert await lead(FLEET, "b", lasting=minute) == "b"
        assert await lead(FLEET, "a", lasting=minute) == "b"

    async def test_a_lead_that_is_given_up_is_there_to_be_taken(self, world: MemoryWorld) -> None:
        lead = world.memory.lead
        await lead(FLEET, "a", lasting=HOUR)
        assert await lead(FLEET, "b", lasting=timedelta(0)) == "a"
        assert await lead(FLEET, "a", lasting=timedelta(0)) == ""
        assert await lead(FLEET, "b", lasting=HOUR) == "b"
        assert (await world.memory.recall(FLEET)).override is None

    @pytest.mark.parametrize(
        ("workers", "lasting"),
        [
            (-1, HOUR),
            (10**6 + 1, HOUR),
            (10**30, HOUR),
            (1, timedelta(0)),
            (1, timedelta(microseconds=100)),
            (1, -HOUR),
            (1, timedelta(days=91)),
        ],
    )
    async def test_an_override_that_cannot_be_is_refused(
        self, world: MemoryWorld, workers: int, lasting: timedelta
    ) -> None:
        with pytest.raises(ValueError, match=r"workers|lasting"):
            await world.memory.set_override(FLEET, workers, lasting=lasting, said_by="ada")
        assert (await world.memory.recall(FLEET)).override is None


class Wishing:
    async def test_a_wish_is_open_until_it_comes_true(self, world: MemoryWorld) -> None:
        now = world.clock.now_ms()
        opened = WishChanges(opened=(Wish(5, now), Wish(8, now)))
        await world.memory.remember(decision(now), opened)
        world.clock.advance(30_000)
        found = await world.memory.recall(FLEET)
        assert (found.wishes, found.waiting_seconds) == ((Wish(5, now), Wish(8, now)), 30)
        lead = Lead(5, now, 29.5)
        kept = await world.memory.remember(decision(now), WishChanges(came_true=(lead,)))
        assert kept.came_true == (lead,)
        found = await world.memory.recall(FLEET)
        assert (found.wishes, found.leads) == ((Wish(8, now),), (lead,))
        assert found.lead_seconds == 29.5

    async def test_who_opens_a_wish_first_says_since_when(self, world: MemoryWorld) -> None:
        now = world.clock.now_ms()
        for since in (now, now + 500, now - 500):
            changes = WishChanges(opened=(Wish(5, since),))
            await world.memory.remember(decision(now), changes)
        assert (await world.memory.recall(FLEET)).wishes == (Wish(5, now),)

    async def test_a_wish_comes_true_once_however_many_say_so(self, world: MemoryWorld) -> None:
        now = world.clock.now_ms()
        await world.memory.remember(decision(now), WishChanges(opened=(Wish(5, now),)))
        told = [
            world.memory.remember(decision(now), WishChanges(came_true=(Lead(5, now, seconds),)))
            for seconds in (20.0, 20.1, 20.2)
        ]
        kept = await asyncio.gather(*told)
        assert sum(len(one.came_true) for one in kept) == 1
        assert len((await world.memory.recall(FLEET)).leads) == 1

    async def test_a_wish_that_is_dropped_measures_nothing(self, world: MemoryWorld) -> None:
        now = world.clock.now_ms()
        await world.memory.remember(decision(now), WishChanges(opened=(Wish(5, now),)))
        await world.memory.remember(decision(now), WishChanges(dropped=(Wish(5, now),)))
        late = WishChanges(came_true=(Lead(5, now, 20.0),))
        assert (await world.memory.remember(decision(now), late)).came_true == ()
        found = await world.memory.recall(FLEET)
        assert (found.wishes, found.leads) == ((), ())

    async def test_the_lead_time_is_the_median_of_the_last_nine(self, world: MemoryWorld) -> None:
        now = world.clock.now_ms()
        for seconds in (900.0, 900.0, 20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 26.0, 27.0, 3_600.0):
            await world.memory.remember(decision(now), WishChanges(opened=(Wish(5, now),)))
            lead = Lead(5, now, seconds)
            await world.memory.remember(decision(now), WishChanges(came_true=(lead,)))
        found = await world.memory.recall(FLEET)
        assert len(found.leads) == 9
        assert (found.leads[0].seconds, found.lead_seconds) == (3_600.0, 24.0)


class Publishing:
    async def test_a_forecast_is_read_as_it_was_published(self, world: MemoryWorld) -> None:
        made = forecast(world.clock.now_ms())
        assert await world.memory.publish(FLEET, made)
        assert (await world.memory.recall(FLEET)).forecast == made

    async def test_the_forecast_made_last_wins_whichever_arrives_last(
        self, world: MemoryWorld
    ) -> None:
        now = world.clock.now_ms()
        assert await world.memory.publish(FLEET, forecast(now, 2.0))
        assert not await world.memory.publish(FLEET, forecast(now - 1, 9.0))
        assert (await world.memory.recall(FLEET)).forecast == forecast(now, 2.0)

    async def test_a_clock_that_was_set_back_does_not_keep_an_old_forecast_for_ever(
        self, world: MemoryWorld
    ) -> None:
        await world.memory.publish(FLEET, forecast(world.clock.now_ms()))
        world.clock.advance(-60_000)
        later = forecast(world.clock.now_ms(), 9.0)
        assert await world.memory.publish(FLEET, later)
        assert (await world.memory.recall(FLEET)).forecast == later


class WholeScalingMemory(ScalingMemoryContract, Deciding, Overriding, Wishing, Publishing):
    """All of it."""
