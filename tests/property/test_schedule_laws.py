"""Laws of firing: on both stores, and of whole fleets whose processes come, go and err."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from octoqueue.errors import LaneFull
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.cron import Every
from octoqueue.primitives.messages import SessionId
from octoqueue.primitives.schedules import Fired, Missed, Schedule
from octoqueue.redis.client import RedisClient
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.contract.schedules import NIGHTLY, tick, tick_message
from tests.contract.world import fresh_namespace

if TYPE_CHECKING:
    from octoqueue.lanes.protocol import LaneStore

WIDE = LaneBounds(high=1_000, normal=3, low=1_000)
OPTIONS = LaneOptions(partitions=1, default_bounds=WIDE)
SECOND_MS = 1_000
WORKER = SessionId("worker")


@dataclass(frozen=True)
class Ask:
    """A worker asks to fire a tick; what it knows may be old, and what it wants too early."""

    knows_back: int
    """How many answers ago it learnt the last tick."""
    ahead: int
    """How many seconds after what it knows."""


@dataclass(frozen=True)
class Pass:
    milliseconds: int


@dataclass(frozen=True)
class Look:
    ticks: Every
    begins: bool


@dataclass(frozen=True)
class Drain:
    """Somebody claims what waits, so that there is room again."""


steps = st.one_of(
    st.builds(Ask, st.integers(0, 3), st.integers(0, 4)),
    st.builds(Ask, st.just(0), st.just(1)),
    st.builds(Pass, st.integers(0, 2_500)),
    st.builds(Look, st.sampled_from([Every(1_000), Every(2_000)]), st.booleans()),
    st.just(Drain()),
)


@dataclass
class History:
    """What one store answered, and what it fired."""

    store: LaneStore
    clock: FakeClock
    knows: list[int] = field(default_factory=list[int])
    answers: list[object] = field(default_factory=list[object])
    fired: list[int] = field(default_factory=list[int])

    async def take(self, step: Ask | Pass | Look | Drain) -> None:
        if isinstance(step, Pass):
            self.clock.advance(step.milliseconds)
        elif isinstance(step, Drain):
            leases = await self.store.claim(WORKER, ["coder"], limit=100)
            self.answers.append(len(leases))
        elif isinstance(step, Look):
            stands = await self.store.last_tick(NIGHTLY.name, step.ticks.digest, begins=step.begins)
            self.answers.append(stands)
            if stands.last_ms is not None:
                self.knows.append(stands.last_ms)
        else:
            await self._fire(step)

    async def _fire(self, ask: Ask) -> None:
        known = self.knows[-1 - ask.knows_back % len(self.knows)]
        wanted = tick(known, known + ask.ahead * SECOND_MS)
        try:
            firing = await self.store.fire(wanted, tick_message())
        except LaneFull as full:
            self.answers.append((full.lane, full.depth, full.bound))
            return
        self.answers.append(firing)
        self.knows.append(firing.last_ms)
        if firing.outcome is Fired.FIRED:
            assert wanted.tick_ms <= self.clock.now_ms()
            self.fired.append(wanted.tick_ms)


@settings(max_examples=150)
@given(history=st.lists(steps, max_size=40))
def test_both_stores_fire_the_same_ticks(
    redis_url: str, history: list[Ask | Pass | Look | Drain]
) -> None:
    async def run() -> None:
        clocks = FakeClock(), FakeClock()
        client = RedisClient(redis_url)
        options = replace(OPTIONS, namespace=fresh_namespace())
        on_redis = RedisLaneStore(client, options, now_ms=clocks[1].now_ms)
        stores: list[LaneStore] = [MemoryLaneStore(OPTIONS, clock=clocks[0]), on_redis]
        both = [History(store, clock) for store, clock in zip(stores, clocks, strict=True)]
        try:
            for each in both:
                for step in [Look(Every(1_000), begins=True), *history]:
                    await each.take(step)
        finally:
            await on_redis.aclose()
        assert both[0].answers == both[1].answers
        assert all(first < second for first, second in pairwise(both[0].fired))

    asyncio.run(run())


@given(
    interval=st.integers(1, 5),
    behind=st.integers(0, 400),
    limit=st.integers(1, 250),
    missed=st.sampled_from(Missed),
)
def test_what_is_due_is_the_latest_or_all_that_may_be_caught_up_with_in_order(
    interval: int, behind: int, limit: int, missed: Missed
) -> None:
    ticks = Every(interval * SECOND_MS)
    schedule = Schedule(name="s", ticks=ticks, missed=missed, catch_up_limit=limit)
    last, now = 0, behind * SECOND_MS
    everything = list(range(ticks.interval_ms, now + 1, ticks.interval_ms))
    due = schedule.due(last_ms=last, now_ms=now)
    if missed is Missed.COALESCE:
        assert due.ticks == everything[-1:]
        return
    fired: list[int] = []
    while due.ticks:
        assert len(due.ticks) <= 100
        fired += due.ticks
        due = schedule.due(last_ms=fired[-1], now_ms=now)
    assert fired == everything[-limit:]
    assert schedule.due(last_ms=last, now_ms=now).drops_older is (len(everything) > limit)
