"""History and forecasts on a real PostgreSQL: whoever dies between two steps, nothing is lost."""

from __future__ import annotations

import asyncio
import math
import threading
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from octoqueue.errors import StoreUnavailable
from octoqueue.maintenance.forecasting import Forecasting
from octoqueue.maintenance.minutes import roll_minutes
from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.minutes import MinuteArrivals, Minutes
from octoqueue.postgres.pool import PostgresPool
from octoqueue.primitives.lane import LANES, Lane
from octoqueue.primitives.signals import LaneMinute, QueueMinute
from octoqueue.scaling.forecast.forecaster import ArrivalForecaster
from octoqueue.scaling.policy import ForecastUse, ScalingPolicy
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from octoqueue.testing.memory_scaling import MemoryScalingMemory
from tests.contract.world import message
from tests.databases import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

MINUTE = 60_000
DAY = 1440
NOW = 1_800_000_000_000 // MINUTE * MINUTE
POLICY = ScalingPolicy(fleet="executor", queues=("executor",), forecast=ForecastUse())
FOREVER = NOW + 10**9


@dataclass
class World:
    pool: PostgresPool
    minutes: Minutes
    memory: MemoryScalingMemory
    clock: FakeClock

    def forecasting(self, *policies: ScalingPolicy) -> Forecasting:
        return Forecasting(self.minutes, self.memory, policies or (POLICY,))

    async def history(self, count: int, *, until: int = NOW, queue: str = "executor") -> None:
        """Import a daily wave that ends at `until`."""
        first = until - count * MINUTE
        await self.minutes.import_arrivals(
            queue,
            [MinuteArrivals(first + i * MINUTE, wave(first // MINUTE + i)) for i in range(count)],
        )

    async def arrivals(self, *queues: str) -> list[MinuteArrivals]:
        return await self.minutes.arrivals(queues, since_ms=0, until_ms=FOREVER)


def wave(minute: int) -> int:
    return round(100 * (1.5 + math.sin(minute / DAY * 2 * math.pi))) + minute % 7


def minute_of(
    queue: str, starts_at_ms: int, arrivals: int, *, waits: tuple[int, ...] = ()
) -> QueueMinute:
    lanes = {lane: LaneMinute() for lane in LANES}
    lanes[Lane.NORMAL] = LaneMinute(arrivals=arrivals, starts=arrivals, waits=waits)
    return QueueMinute(queue=queue, starts_at_ms=starts_at_ms, lanes=lanes, completions=arrivals)


class Store:
    """What `roll_minutes` needs of a lane store."""

    def __init__(self, told: Sequence[QueueMinute]) -> None:
        self.told = list(told)

    async def arrival_minutes(self, queues: Sequence[str]) -> list[QueueMinute]:
        return [minute for minute in self.told if minute.queue in queues]


@pytest.fixture
async def world(postgres_dsn: str) -> AsyncGenerator[World]:
    async with fresh_database(postgres_dsn) as dsn, PostgresPool(dsn) as pool:
        await Migrator(pool).migrate()
        clock = FakeClock(NOW)
        yield World(pool, Minutes(pool), MemoryScalingMemory(clock=clock), clock)


async def roll(world: World, told: Sequence[QueueMinute]) -> int:
    return await roll_minutes(Store(told), world.minutes, ["executor"])  # type: ignore[arg-type]


async def test_minutes_that_are_told_again_are_kept_once(world: World) -> None:
    told = [minute_of("executor", NOW - i * MINUTE, i) for i in range(9, 0, -1)]
    assert await roll(world, told) == 9
    assert await roll(world, told[3:]) == 6
    assert await world.arrivals("executor") == [
        MinuteArrivals(NOW - i * MINUTE, i) for i in range(9, 0, -1)
    ]


async def test_a_store_that_has_forgotten_its_counts_takes_none_away(world: World) -> None:
    waits = (3, 2) + (0,) * 15
    await roll(world, [minute_of("executor", NOW, 5, waits=waits)])
    await roll(world, [minute_of("executor", NOW, 0, waits=(0,) * 17)])
    async with world.pool.transaction(purpose="test") as connection:
        row = await connection.fetchrow("select * from queue_minutes")
    assert row is not None
    assert (row["arrivals_normal"], row["completions"], row["waits"][:2]) == (5, 5, [3, 2])


async def test_who_dies_between_reading_and_keeping_is_made_up_for_by_the_next(
    world: World,
) -> None:
    told = [minute_of("executor", NOW - i * MINUTE, i) for i in range(9, 0, -1)]
    gone = PostgresPool("postgresql://nobody@127.0.0.1:1/nothing")
    async with gone:
        with pytest.raises(StoreUnavailable):
            await roll_minutes(Store(told[:5]), Minutes(gone), ["executor"])  # type: ignore[arg-type]
    await roll(world, told)
    assert len(await world.arrivals("executor")) == 9


async def test_what_a_store_has_counted_becomes_history(world: World) -> None:
    store = MemoryLaneStore(clock=world.clock)
    for messages in (3, 0, 2):
        for _ in range(messages):
            assert await store.enqueue([[message(queue="executor")]]) == [None]
        world.clock.advance(MINUTE)
    await roll_minutes(store, world.minutes, ["executor"])
    assert [each.arrivals for each in await world.arrivals("executor")][-3:] == [3, 0, 2]


async def test_without_queues_nothing_is_asked(world: World) -> None:
    assert await roll_minutes(Store([]), world.minutes, []) == 0  # type: ignore[arg-type]


async def test_a_minute_missing_for_one_queue_is_unknown_of_them_together(world: World) -> None:
    await world.minutes.add([
        minute_of("a", NOW, 1),
        minute_of("b", NOW, 2),
        minute_of("a", NOW + MINUTE, 4),
    ])  # fmt: skip
    assert await world.arrivals("b", "a") == [MinuteArrivals(NOW, 3)]


async def test_what_is_older_than_it_is_kept_for_goes(world: World) -> None:
    old = [minute_of("executor", i * MINUTE, 1) for i in range(5)]
    await world.minutes.add([*old, minute_of("executor", NOW, 7)])
    assert await world.minutes.prune(kept_for=timedelta(days=90)) == 5
    assert await world.arrivals("executor") == [MinuteArrivals(NOW, 7)]


async def test_what_is_old_goes_of_queues_that_nobody_serves_too_and_not_all_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.minutes.add([
        minute_of(queue, at * MINUTE, 1) for queue in ("a", "b", "gone") for at in range(4)
    ])  # fmt: skip
    await world.minutes.add([minute_of("b", NOW, 7)])
    monkeypatch.setattr("octoqueue.postgres.minutes._MOST_PRUNED", 5)
    assert [await world.minutes.prune() for _ in range(4)] == [5, 5, 2, 0]
    assert await world.arrivals("b") == [MinuteArrivals(NOW, 7)]


async def test_an_import_leaves_what_was_measured_alone(world: World) -> None:
    await world.minutes.add([minute_of("executor", NOW, 7)])
    added = await world.minutes.import_arrivals(
        "executor", [MinuteArrivals(NOW, 1), MinuteArrivals(NOW + MINUTE, 2)]
    )
    assert added == 1
    assert [each.arrivals for each in await world.arrivals("executor")] == [7, 2]


async def test_a_forecast_is_learnt_from_history_and_published(world: World) -> None:
    await world.history(2 * DAY)
    made = await world.forecasting().round()
    published = (await world.memory.recall("executor")).forecast
    assert published is not None
    assert published == made["executor"]
    first = published.minutes[0]
    assert first.starts_at_ms == NOW
    assert first.per_second == pytest.approx(wave(NOW // MINUTE) / 60, rel=0.1)
    assert published.scored_minutes > 1.5 * DAY


async def test_a_forecast_that_may_be_followed_for_a_week_is_not_one_of_a_week(
    world: World,
) -> None:
    await world.history(100)
    use = ForecastUse(stale_after_seconds=7 * 86_400)
    made = await world.forecasting(replace(POLICY, forecast=use)).round()
    assert len(made["executor"].minutes) == 240


async def test_long_history_is_learnt_in_several_rounds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.history(2 * DAY)
    monkeypatch.setattr("octoqueue.maintenance.forecasting._READ_AT_ONCE", 500)
    monkeypatch.setattr("octoqueue.maintenance.forecasting._MOST_A_ROUND", 2_000)
    forecasting = world.forecasting()
    assert await forecasting.round() == {}
    assert "executor" in await forecasting.round()


async def test_a_fleet_that_follows_no_forecast_has_none(world: World) -> None:
    await world.history(100)
    assert await world.forecasting(replace(POLICY, forecast=None)).round() == {}


async def test_history_that_is_imported_later_is_learnt_from_its_beginning(world: World) -> None:
    await world.history(DAY)
    forecasting = world.forecasting()
    await forecasting.round()
    await world.history(2 * DAY)
    assert await world.minutes.forget_forecasts("executor") == ["executor"]
    made = await forecasting.round()
    assert made["executor"].scored_minutes > 1.5 * DAY
    assert made == await world.forecasting().round()


async def test_a_fleet_of_which_nothing_is_known_has_no_forecast(world: World) -> None:
    assert await world.forecasting().round() == {}


async def test_who_dies_after_learning_is_replaced_by_one_that_knows_as_much(world: World) -> None:
    await world.history(2 * DAY)
    lasting = world.forecasting()
    await lasting.round()
    await world.history(3, until=NOW + 3 * MINUTE)
    world.clock.advance(3 * MINUTE)
    expected = await lasting.round()
    successor = world.forecasting()
    assert await successor.round() == expected


async def test_who_dies_before_the_state_is_saved_loses_only_time(world: World) -> None:
    await world.history(DAY)
    expected = await world.forecasting().round()
    await world.minutes.forget_forecasts("executor")
    assert await world.forecasting().round() == expected


async def test_a_state_that_cannot_be_read_is_learnt_anew(world: World) -> None:
    await world.history(DAY)
    expected = await world.forecasting().round()
    kept = await world.minutes.load_forecast("executor", ["executor"])
    assert kept is not None
    assert await world.minutes.save_forecast(
        "executor", ["executor"], newest_ms=NOW, state=b"of another time", after=kept.saved_at
    )
    assert await world.forecasting().round() == expected


async def test_what_one_of_two_has_learnt_anew_the_other_learns_too(world: World) -> None:
    await world.history(DAY)
    one, other = world.forecasting(), world.forecasting()
    assert await one.round() == await other.round()
    await world.history(2 * DAY)
    await world.minutes.forget_forecasts("executor")
    made = await one.round()
    assert made["executor"].scored_minutes > 1.5 * DAY
    assert await other.round() == made


async def test_what_was_learnt_before_an_import_is_not_saved_after_it(world: World) -> None:
    await world.history(DAY)
    await world.forecasting().round()
    before = await world.minutes.load_forecast("executor", ["executor"])
    assert before is not None
    await world.minutes.forget_forecasts("executor")
    assert not await world.minutes.save_forecast(
        "executor", ["executor"], newest_ms=NOW, state=before.state, after=before.saved_at
    )
    assert await world.minutes.load_forecast("executor", ["executor"]) is None


async def test_of_two_that_learn_at_once_one_saves_and_the_other_goes_on_from_there(
    world: World,
) -> None:
    await world.history(DAY)
    one, other = world.forecasting(), world.forecasting()
    both = await asyncio.gather(one.round(), other.round())
    assert both[0] == both[1]
    await world.history(12, until=NOW + 12 * MINUTE)
    world.clock.advance(12 * MINUTE)
    made = await one.round()
    assert await other.round() == made
    assert await world.forecasting().round() == made


async def test_two_configurations_of_a_fleet_do_not_learn_anew_in_turns(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.history(DAY)
    await world.history(DAY, queue="coder")
    wider = replace(POLICY, queues=("executor", "coder"))
    old, new = world.forecasting(), world.forecasting(wider)
    await old.round()
    await new.round()
    read: list[int] = []
    arrivals = Minutes.arrivals

    async def counted(
        self: Minutes, queues: Sequence[str], *, since_ms: int, until_ms: int
    ) -> list[MinuteArrivals]:
        found = await arrivals(self, queues, since_ms=since_ms, until_ms=until_ms)
        read.append(len(found))
        return found

    monkeypatch.setattr(Minutes, "arrivals", counted)
    for each in (old, new, old, new):
        assert await each.round()
    assert sum(read) == 0


async def test_who_has_much_to_learn_does_not_keep_the_others_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.history(DAY)
    late, ready = replace(POLICY, fleet="late"), replace(POLICY, fleet="ready")
    forecasting = world.forecasting(late, ready)
    await forecasting.round()
    await world.history(1, until=NOW + MINUTE)
    world.clock.advance(MINUTE)
    async with world.pool.transaction(purpose="test") as connection:
        await connection.execute("delete from forecast_states where fleet = 'late'")
    monkeypatch.setattr("octoqueue.maintenance.forecasting._READ_AT_ONCE", 500)
    monkeypatch.setattr("octoqueue.maintenance.forecasting._MOST_A_ROUND", 700)
    assert set(await forecasting.round()) == {"ready"}


async def test_many_fleets_are_saved_in_turns(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.history(100)
    policies = [replace(POLICY, fleet=fleet) for fleet in "abc"]
    monkeypatch.setattr("octoqueue.maintenance.forecasting._MOST_SAVED_A_ROUND", 2)
    forecasting = world.forecasting(*policies)

    async def saved() -> list[str]:
        return [fleet for fleet in "abc" if await world.minutes.load_forecast(fleet, ["executor"])]

    assert len(await forecasting.round()) == 3
    assert await saved() == ["a", "b"]
    assert len(await forecasting.round()) == 3
    assert await saved() == ["a", "b", "c"]


async def test_a_round_that_is_cancelled_ends_when_nobody_learns_for_it_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.history(10)
    loop, learning, may_end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    ended: list[bool] = []

    def observe(*_: object) -> None:
        loop.call_soon_threadsafe(learning.set)
        ended.append(may_end.wait(10))

    monkeypatch.setattr("octoqueue.maintenance.forecasting._observe", observe)
    round_ = asyncio.create_task(world.forecasting().round())
    await learning.wait()
    round_.cancel()
    for _ in range(5):
        await asyncio.to_thread(int)  # the loop has had time to cancel it
    assert not round_.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await round_
    assert ended == [True]


async def test_a_fleet_whose_forecast_fails_keeps_no_other_from_having_one(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await world.history(10)
    policies = [replace(POLICY, fleet=fleet) for fleet in "ab"]
    forecasting = world.forecasting(*policies)
    broken = Mock(side_effect=ArithmeticError)
    with monkeypatch.context() as patched:
        patched.setattr(ArrivalForecaster, "observe", broken)
        assert await forecasting.round() == {}
    assert broken.call_count == 2
    assert [record.message for record in caplog.records] == ["forecast_failed"] * 2
    assert set(await forecasting.round()) == {"a", "b"}


async def test_other_queues_are_something_else_to_learn(world: World) -> None:
    await world.history(DAY)
    await world.forecasting().round()
    assert await world.minutes.load_forecast("executor", ["executor", "coder"]) is None


async def test_minutes_of_a_clock_that_was_ahead_are_not_believed_when_it_is_back(
    world: World,
) -> None:
    await world.history(DAY)
    forecasting = world.forecasting()
    await forecasting.round()
    await world.history(20, until=NOW + DAY * MINUTE)
    world.clock.advance(DAY * MINUTE)
    await forecasting.round()
    world.clock.advance(-DAY * MINUTE + 5 * MINUTE)
    await world.history(5, until=NOW + 5 * MINUTE)
    made = (await forecasting.round())["executor"]
    assert made.minutes[0].starts_at_ms == NOW + 5 * MINUTE
    assert made.minutes[0].per_second == pytest.approx(wave(NOW // MINUTE + 5) / 60, rel=0.2)


async def test_without_a_database_a_round_says_so(world: World) -> None:
    await world.pool.aclose()
    with pytest.raises(StoreUnavailable):
        await world.forecasting().round()
