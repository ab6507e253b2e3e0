from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import FleetUnknown, SignalsUnreadable, StoreUnavailable
from octoqueue.fleet.decider import FleetDecider
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.signals import LaneSignals, Presence, QueueSignals, SignalReading
from octoqueue.scaling.policy import DepthTarget, ScalingPolicy
from octoqueue.scaling.wishes import WishChanges
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_scaling import MemoryScalingMemory

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from octoqueue.metrics.scaling_memory import Kept, Remembered
    from octoqueue.primitives.signals import FleetSnapshot
    from octoqueue.scaling.decision import Decision
    from octoqueue.scaling.wishes import Lead

NOTHING = WishChanges()
POLICY = ScalingPolicy(
    fleet="executor",
    queues=("executor",),
    min_workers=1,
    max_workers=20,
    depth=DepthTarget(messages_per_worker=10),
)
POLICIES = {
    "executor": POLICY,
    "coder": ScalingPolicy(
        fleet="coder", queues=("coder",), depth=DepthTarget(messages_per_worker=10)
    ),
}


class Signals:
    """A store whose queues are as a test says."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.waiting: dict[str, int] = {}
        self.workers: list[Presence] = []
        self.error: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked: list[tuple[tuple[str, ...], timedelta]] = []

    async def read_signals(
        self, queues: Sequence[str], *, due_within: timedelta, fleet: str = ""
    ) -> SignalReading:
        self.asked.append((tuple(queues), due_within))
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        now = self.clock.now_ms()
        return SignalReading(
            taken_at_ms=now,
            queues=tuple(self._queue(queue, now) for queue in queues),
            workers=tuple(self.workers),
        )

    def _queue(self, queue: str, now: int) -> QueueSignals:
        waiting = {Lane.NORMAL: self.waiting.get(queue, 0)}
        lanes = {lane: LaneSignals(lane=lane, waiting=waiting.get(lane, 0)) for lane in Lane}
        return QueueSignals(queue=queue, taken_at_ms=now, lanes=lanes)

    def add_worker(self, name: str, *, fleet: str = "executor") -> None:
        now = self.clock.now_ms()
        self.workers.append(
            Presence(
                session=name,
                name=name,
                fleet=fleet,
                queues=(fleet,),
                slots=10,
                running=0,
                started_at_ms=now,
                ready_at_ms=now,
                said_at_ms=now,
            )
        )


class Watching:
    def __init__(self) -> None:
        self.told: list[str] = []

    def decided(self, decision: Decision, snapshot: FleetSnapshot) -> None:
        self.told.append(f"decided {decision.workers} of {snapshot.ready_workers}")

    def held(self, decision: Decision) -> None:
        self.told.append(f"held {decision.workers}")

    def unreadable(self, fleet: str) -> None:
        self.told.append(f"unreadable {fleet}")

    def came_true(self, fleet: str, lead: Lead) -> None:
        self.told.append(f"came true {lead.workers} after {lead.seconds:g}")


class Forgetful(MemoryScalingMemory):
    """A memory that may be gone."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.is_gone = False
        self.writes = 0
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def recall(self, fleet: str) -> Remembered:
        self.asked.set()
        await self.answers.wait()
        if self.is_gone:
            raise StoreUnavailable("Redis", reason="gone")
        return await super().recall(fleet)

    async def remember(self, decision: Decision, changes: WishChanges = NOTHING) -> Kept:
        self.writes += 1
        return await super().remember(decision, changes)


class World:
    def __init__(
        self, *, active_for_seconds: float = 300.0, hold: timedelta = timedelta(minutes=2)
    ) -> None:
        self.clock = FakeClock()
        self.signals = Signals(self.clock)
        self.memory = Forgetful(self.clock)
        self.watch = Watching()
        executor = replace(POLICY, active_for_seconds=active_for_seconds)
        self.policies = {**POLICIES, "executor": executor}
        self.hold = hold
        self.decider = self.another()

    def another(self) -> FleetDecider:
        return FleetDecider(
            self.signals,
            self.memory,
            self.policies,
            budget=timedelta(milliseconds=80),
            hold=self.hold,
            watch=self.watch,
            clock=self.clock,
        )

    async def workers(self, decider: FleetDecider | None = None) -> int:
        """Decide anew, a while after the last time."""
        self.clock.advance(2_000)
        return (await (decider or self.decider).decide("executor")).workers


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    made = World()
    yield made
    await made.decider.aclose()


async def test_signals_and_memory_become_a_decision(world: World) -> None:
    world.signals.waiting["executor"] = 70
    assert await world.workers() == 7
    look = await world.decider.look("executor")
    assert look.snapshot is not None
    assert (look.snapshot.in_system, look.held_seconds) == (70, None)


async def test_whoever_asks_within_a_second_is_told_the_same_without_another_reading(
    world: World,
) -> None:
    first = await world.decider.decide("executor")
    world.signals.waiting["executor"] = 70
    world.clock.advance(999)
    assert await world.decider.decide("executor") is first
    world.clock.advance(1)
    assert (await world.decider.decide("executor")).workers == 7
    assert len(world.signals.asked) == 2


async def test_many_who_ask_at_once_cost_one_reading(world: World) -> None:
    told = await asyncio.gather(*(world.decider.decide("executor") for _ in range(50)))
    assert len(set(map(id, told))) == 1
    assert len(world.signals.asked) == 1


async def test_who_asked_first_and_goes_away_does_not_take_the_answer_along(world: World) -> None:
    world.signals.answers.clear()
    first = asyncio.create_task(world.decider.decide("executor"))
    second = asyncio.create_task(world.decider.decide("executor"))
    await asyncio.sleep(0)
    first.cancel()
    world.signals.answers.set()
    assert (await second).workers == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_fleet_nobody_configured_is_named_with_the_nearest(world: World) -> None:
    with pytest.raises(FleetUnknown, match="did you mean 'executor'") as unknown:
        await world.decider.decide("executer")
    assert unknown.value.known == ("coder", "executor")


async def test_an_override_of_the_memory_replaces_demand(world: World) -> None:
    world.signals.waiting["executor"] = 70
    await world.memory.set_override("executor", 4, lasting=timedelta(minutes=1), said_by="ada")
    assert await world.workers() == 4
    world.clock.advance(60_000)
    assert await world.workers() == 7


class TestWhatCannotBeRead:
    async def test_the_last_good_decision_is_held_and_then_it_is_an_error(
        self, world: World
    ) -> None:
        world.signals.waiting["executor"] = 70
        assert await world.workers() == 7
        world.signals.error = StoreUnavailable("Redis", reason="gone")
        world.clock.advance(60_000)
        look = await world.decider.look("executor")
        assert look.decision.workers == 7
        assert look.held_seconds == 60
        assert [step.rule for step in look.decision.steps if step.is_decisive] == ["hold"]
        assert "gone" in look.decision.reason
        world.clock.advance(58_000)
        assert await world.workers() == 7
        world.clock.advance(2_000)
        with pytest.raises(SignalsUnreadable, match="held for 120 s already") as unreadable:
            await world.decider.decide("executor")
        assert unreadable.value.retryable

    async def test_nothing_is_held_that_was_never_decided(self, world: World) -> None:
        world.signals.error = StoreUnavailable("Redis", reason="gone")
        with pytest.raises(SignalsUnreadable) as unreadable:
            await world.decider.decide("executor")
        assert "held" not in str(unreadable.value)
        assert world.watch.told == ["unreadable executor"]

    async def test_it_is_decided_again_when_the_store_is_back(self, world: World) -> None:
        world.signals.error = StoreUnavailable("Redis", reason="gone")
        with pytest.raises(SignalsUnreadable):
            await world.decider.decide("executor")
        world.signals.error = None
        world.signals.waiting["executor"] = 30
        assert await world.workers() == 3

    async def test_an_error_is_told_again_for_a_second_without_another_reading(
        self, world: World
    ) -> None:
        world.signals.error = StoreUnavailable("Redis", reason="gone")
        for _ in range(3):
            with pytest.raises(SignalsUnreadable):
                await world.decider.decide("executor")
        assert len(world.signals.asked) == 1

    async def test_an_outage_is_over_when_it_is_over_however_long_decisions_are_fresh(
        self, world: World
    ) -> None:
        decider = FleetDecider(
            world.signals,
            world.memory,
            POLICIES,
            hold=timedelta(seconds=120),
            fresh_for=timedelta(seconds=60),
            clock=world.clock,
        )
        world.signals.error = StoreUnavailable("Redis", reason="gone")
        with pytest.raises(SignalsUnreadable):
            await decider.decide("executor")
        world.signals.error = None
        assert await world.workers(decider) == 1
        world.signals.waiting["executor"] = 30
        assert await world.workers(decider) == 1  # fresh for a minute
        world.clock.advance(60_000)
        world.signals.error = StoreUnavailable("Redis", reason="gone")
        assert await world.workers(decider) == 1  # held
        world.signals.error = None
        assert await world.workers(decider) == 3
        await decider.aclose()

    async def test_a_store_that_says_nothing_costs_no_more_than_the_budget(
        self, world: World
    ) -> None:
        world.signals.answers.clear()
        async with asyncio.timeout(5):
            with pytest.raises(SignalsUnreadable, match=r"within 0\.08 s"):
                await world.decider.decide("executor")

    async def test_a_memory_that_is_gone_is_unreadable_too(self, world: World) -> None:
        """An override may be in there: nobody may decide as if there was none."""
        world.memory.is_gone = True
        with pytest.raises(SignalsUnreadable):
            await world.workers()

    async def test_a_replica_holds_what_another_one_decided(self, world: World) -> None:
        world.signals.waiting["executor"] = 70
        await world.workers()
        other = world.another()
        world.signals.error = StoreUnavailable("Redis", reason="gone")
        assert await world.workers(other) == 7
        world.memory.is_gone = True
        assert await world.workers(other) == 7

    async def test_fleets_are_held_apart(self, world: World) -> None:
        await world.workers()
        world.signals.error = StoreUnavailable("Redis", reason="gone")
        with pytest.raises(SignalsUnreadable):
            await world.decider.decide("coder")

    async def test_a_clock_that_was_set_back_makes_nothing_older_or_younger(
        self, world: World
    ) -> None:
        assert await world.workers() == 1
        other = world.another()
        world.clock._now_ms -= 3_600_000
        world.signals.waiting["executor"] = 30
        assert await world.workers(other) == 3

    async def test_closing_in_the_middle_of_a_first_look_leaves_nothing_behind(
        self, world: World
    ) -> None:
        world.memory.answers.clear()
        asking = asyncio.create_task(world.decider.decide("executor"))
        await world.memory.asked.wait()
        await world.decider.aclose()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert asyncio.all_tasks() == {asyncio.current_task()}


class TestWhatIsRemembered:
    async def test_a_decision_that_says_nothing_new_is_not_written_again(
        self, world: World
    ) -> None:
        world.signals.add_worker("one")
        for _ in range(4):
            await world.workers()
        assert world.memory.writes == 1
        world.clock.advance(8_000)
        await world.workers()
        assert world.memory.writes == 2

    @pytest.mark.parametrize("active_for", [0.0, 300.0])
    async def test_who_holds_nothing_does_not_write_at_every_look_for_that(
        self, active_for: float
    ) -> None:
        world = World(active_for_seconds=active_for, hold=timedelta(0))
        world.signals.add_worker("one")
        for _ in range(4):
            await world.workers()
        assert world.memory.writes == 1
        await world.decider.aclose()

    async def test_the_last_activity_is_that_of_whichever_replica_saw_it(
        self, world: World
    ) -> None:
        world.signals.waiting["executor"] = 5
        await world.workers()
        seen = world.clock.now_ms()
        world.signals.waiting["executor"] = 0
        await world.workers(world.another())
        assert (await world.memory.recall("executor")).active_at_ms == seen

    async def test_a_wish_for_more_workers_is_measured_until_they_are_ready(
        self, world: World
    ) -> None:
        world.signals.waiting["executor"] = 20
        await world.workers()
        assert (await world.memory.recall("executor")).wishes[0].workers == 2
        world.clock.advance(20_000)
        world.signals.add_worker("one")
        world.signals.add_worker("two")
        world.clock.advance(5_000)
        await world.workers()
        assert (await world.memory.recall("executor")).lead_seconds == 20
        assert "came true 2 after 20" in world.watch.told

    async def test_the_rules_are_told_who_was_asked_for_before(self, world: World) -> None:
        world.signals.waiting["executor"] = 20
        await world.workers()
        asked = world.clock.now_ms()
        await world.workers()
        look = await world.decider.look("executor")
        assert look.snapshot is not None
        assert look.snapshot.wanted_since == ((2, asked),)

    async def test_workers_nobody_starts_do_not_count_as_coming(self, world: World) -> None:
        """A cluster without room: what was asked for ten minutes ago is not about to be there."""
        world.signals.waiting["executor"] = 20
        await world.workers()
        world.clock.advance(601_000)
        look = await world.decider.look("executor")
        assert look.snapshot is not None
        assert look.snapshot.wanted_since == ()
        assert (await world.memory.recall("executor")).waiting_seconds == 601

    async def test_how_far_to_look_ahead_is_the_measured_lead_time(self, world: World) -> None:
        await world.workers()
        assert world.signals.asked[-1][1] == timedelta(seconds=POLICY.start_up_seconds)
        world.signals.waiting["executor"] = 20
        await world.workers()
        world.clock.advance(20_000)
        world.signals.add_worker("one")
        world.signals.add_worker("two")
        await world.workers()
        await world.workers()
        await world.workers()
        lead = (await world.memory.recall("executor")).lead_seconds
        assert lead == 21  # the median of 22 s for the first and 20 s for the second
        assert world.signals.asked[-1][1] == timedelta(seconds=lead)
        await world.workers(world.another())
        assert world.signals.asked[-1][1] == timedelta(seconds=lead)

    async def test_workers_of_other_fleets_fulfil_no_wish(self, world: World) -> None:
        world.signals.waiting["executor"] = 20
        await world.workers()
        world.signals.add_worker("one", fleet="coder")
        world.signals.add_worker("two", fleet="coder")
        await world.workers()
        assert (await world.memory.recall("executor")).lead_seconds is None
