"""Counts by the second are those of a plain list, whatever happens and whenever it is read."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import RunTime, SessionId, Settlement
from octoqueue.primitives.signals import WINDOWS_SECONDS, Counts, QueueSignals
from octoqueue.redis.client import RedisClient
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.contract.world import WIDE, fresh_namespace, message, retry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.protocol import LaneStore

QUEUE = "coder"
SESSION = SessionId("w")
LONG = 3_600_000


class Step(NamedTuple):
    """Let time pass, then do something."""

    after_ms: int
    verb: Literal["put", "run", "fail", "read"]
    size: int = 1
    lane: Lane = Lane.NORMAL


pauses = (
    st.integers(0, 3_000)
    | st.integers(0, 700_000)
    | st.sampled_from([0, 999, 1_000, 9_999, 10_000, 59_999, 60_000, 599_000, 600_000, LONG])
)
steps = st.builds(
    Step,
    pauses,
    st.sampled_from(["put", "run", "fail", "read"]),
    st.integers(1, 4),
    st.sampled_from(Lane),
)


class Model:
    """What happened, and in which second."""

    def __init__(self) -> None:
        self.events = Counter[tuple[str, Lane | None, int]]()

    def count(self, kind: str, now_ms: int, count: int, lane: Lane | None = None) -> None:
        self.events[kind, lane, now_ms // 1000] += count

    def within(self, kind: str, now_ms: int, lane: Lane | None = None) -> Counts:
        now = now_ms // 1000
        return Counts(
            counts=tuple(
                sum(
                    count
                    for (what, where, second), count in self.events.items()
                    if (what, where) == (kind, lane) and now - window < second <= now
                )
                for window in WINDOWS_SECONDS
            )
        )

    def minute(self, kind: str, starts_at_ms: int, lane: Lane | None = None) -> int:
        first = starts_at_ms // 1000
        return sum(
            count
            for (what, where, second), count in self.events.items()
            if (what, where) == (kind, lane) and first <= second < first + 60
        )


async def play(store: LaneStore, clock: FakeClock, history: Sequence[Step]) -> None:
    model = Model()
    for step in (*history, Step(0, "read"), Step(60_000, "read")):
        clock.advance(step.after_ms)
        now = clock.now_ms()
        if step.verb == "put":
            await store.enqueue([[message(lane=step.lane)] for _ in range(step.size)])
            model.count("arrived", now, step.size, step.lane)
        elif step.verb == "read":
            await compare(store, clock, model)
        else:
            leases = await store.claim(SESSION, [QUEUE], limit=step.size)
            for lease in leases:
                model.count("started", now, 1, Lane(lease.payload[2]))
            run = RunTime(count=len(leases), total_us=1_000 * step.size, squares_ms2=step.size)
            times = {QUEUE: run} if leases else {}
            if step.verb == "run":
                await store.commit(SESSION, acks=leases, run_times=times)
            else:
                failed: list[Settlement] = [retry(lease, delay_ms=10 * LONG) for lease in leases]
                await store.commit(SESSION, settlements=failed, run_times=times)
            model.count("ended" if step.verb == "run" else "failed", now, len(leases))
            model.count("ran", now, len(leases))
            model.count("ran_us", now, run.total_us if leases else 0)


async def compare(store: LaneStore, clock: FakeClock, model: Model) -> None:
    now = clock.now_ms()
    reading = await store.read_signals([QUEUE], due_within=timedelta(0))
    (found,) = reading.queues
    for lane in Lane:
        assert found.lanes[lane].arrivals == model.within("arrived", now, lane)
        assert found.lanes[lane].starts == model.within("started", now, lane)
        assert 0 <= found.lanes[lane].waits.total <= model.within("started", now, lane).within(60)
    assert found.completions == model.within("ended", now)
    assert found.failures == model.within("failed", now)
    assert found.service.count == model.within("ran", now).within(600)
    for minute in await store.arrival_minutes([QUEUE]):
        at = minute.starts_at_ms
        for lane, told in minute.lanes.items():
            assert told.arrivals == model.minute("arrived", at, lane)
            assert told.starts == sum(told.waits) == model.minute("started", at, lane)
        assert minute.completions == model.minute("ended", at)
        assert minute.failures == model.minute("failed", at)
        assert (minute.runs, minute.run_us) == (model.minute("ran", at), model.minute("ran_us", at))


WRAPPED = [
    Step(0, "put", 3),
    Step(599_000, "put", 2),
    Step(1_000, "put", 1),
    Step(LONG, "run", 4),
    Step(600_000, "put", 4),
]


@settings(max_examples=60)
@given(st.lists(steps, max_size=12), st.integers(0, 599_999))
@example(WRAPPED, 0)
def test_the_memory_store_counts_what_happened(history: list[Step], begin_ms: int) -> None:
    clock = FakeClock(1_000_000_000 + begin_ms)
    asyncio.run(play(MemoryLaneStore(WIDE, clock=clock), clock, history))


async def on_redis(
    url: str, history: Sequence[Step], begin_ms: int, *, per_partition: bool = False
) -> None:
    clock = FakeClock(1_000_000_000 + begin_ms)
    options = replace(WIDE, namespace=fresh_namespace())
    store = RedisLaneStore(
        RedisClient(url), options, per_partition=per_partition, now_ms=clock.now_ms
    )
    try:
        await play(store, clock, history)
    finally:
        await store.aclose()


def test_redis_counts_what_happened(redis_url: str) -> None:
    @settings(max_examples=60)
    @given(st.lists(steps, max_size=12), st.integers(0, 599_999))
    @example(WRAPPED, 0)
    def law(history: list[Step], begin_ms: int) -> None:
        asyncio.run(on_redis(redis_url, history, begin_ms))

    law()


def test_partitions_that_are_read_one_by_one_add_up(redis_url: str) -> None:
    @settings(max_examples=25)
    @given(st.lists(steps, max_size=10), st.integers(0, 599_999))
    @example(WRAPPED, 0)
    def law(history: list[Step], begin_ms: int) -> None:
        asyncio.run(on_redis(redis_url, history, begin_ms, per_partition=True))

    law()


def test_no_count_is_below_0_or_above_all_there_was_wherever_the_clock_goes(
    redis_url: str,
) -> None:
    async def law_on(history: Sequence[Step], jumps: Sequence[int]) -> None:
        clock = FakeClock(1_000_000_000)
        options = replace(WIDE, namespace=fresh_namespace())
        store = RedisLaneStore(RedisClient(redis_url), options, now_ms=clock.now_ms)
        put = 0
        try:
            for step, jump in zip(history, jumps, strict=False):
                clock.advance(jump)
                await store.enqueue([[message(lane=step.lane)] for _ in range(step.size)])
                leases = await store.claim(SESSION, [QUEUE], limit=1)
                await store.commit(SESSION, acks=leases)
                put += step.size
                reading = await store.read_signals([QUEUE], due_within=timedelta(0))
                assert_within(reading.queues[0], put)
                for minute in await store.arrival_minutes([QUEUE]):
                    arrived = [lane.arrivals for lane in minute.lanes.values()]
                    assert min(arrived) >= 0
                    assert sum(arrived) <= put
        finally:
            await store.aclose()

    @settings(max_examples=40)
    @given(st.lists(steps, max_size=10), st.lists(st.integers(-700_000, 700_000), max_size=10))
    def law(history: list[Step], jumps: list[int]) -> None:
        asyncio.run(law_on(history, jumps))

    law()


def assert_within(found: QueueSignals, most: int) -> None:
    counted = [lane.arrivals for lane in found.lanes.values()]
    for window in WINDOWS_SECONDS:
        assert all(counts.within(window) >= 0 for counts in counted)
        assert sum(counts.within(window) for counts in counted) <= most
        assert 0 <= found.completions.within(window) <= most
    assert all(lane.oldest_age_seconds >= 0 for lane in found.lanes.values())
    last = counted[0].counts
    assert list(last) == sorted(last), "a longer window holds no less"
