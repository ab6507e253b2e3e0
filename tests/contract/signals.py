"""What a lane store promises to those who decide how many workers there should be."""

from __future__ import annotations

from datetime import timedelta

from octoqueue.primitives.histogram import WAIT_BUCKETS, bucket_of
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import RunTime
from octoqueue.primitives.signals import (
    KEPT_SECONDS,
    MINUTES_KEPT,
    Counts,
    Presence,
    QueueSignals,
    SignalReading,
)
from tests.contract.world import (
    LEASE_MS,
    A,
    B,
    World,
    ack,
    bury,
    message,
    messages,
    release,
    retry,
)

NONE = Counts()
SECOND = 1_000


async def read(
    world: World, *queues: str, due_within_seconds: float = 0, fleet: str = ""
) -> SignalReading:
    within = timedelta(seconds=due_within_seconds)
    return await world.store.read_signals(queues or ("coder",), due_within=within, fleet=fleet)


async def signals(world: World, queue: str = "coder") -> QueueSignals:
    (found,) = (await read(world, queue)).queues
    return found


def buckets(*waits_ms: int) -> tuple[int, ...]:
    found = [bucket_of(wait) for wait in waits_ms]
    return tuple(found.count(bucket) for bucket in range(WAIT_BUCKETS))


class ReadingSignals:
    async def test_a_queue_never_used_has_no_signals_above_0(self, world: World) -> None:
        reading = await read(world, "ghost", "spirit", due_within_seconds=60)
        assert reading.taken_at_ms == world.clock.now_ms()
        assert [queue.queue for queue in reading.queues] == ["ghost", "spirit"]
        assert (reading.workers, reading.unreadable_presences) == ((), 0)
        for queue in reading.queues:
            assert (queue.in_system, queue.delayed, queue.due_soon) == (0, 0, 0)
            assert (queue.completions, queue.failures, queue.service.count) == (NONE, NONE, 0)
            assert (queue.paused, queue.due_within_seconds) == (False, 60)
            assert list(queue.lanes) == list(Lane)
            assert all(lane.arrivals == NONE for lane in queue.lanes.values())
        assert await world.store.queues() == []

    async def test_reading_no_queue_tells_the_time(self, world: World) -> None:
        reading = await world.store.read_signals((), due_within=timedelta(0))
        assert reading == SignalReading(taken_at_ms=world.clock.now_ms(), queues=())
        assert await world.store.arrival_minutes(()) == []

    async def test_what_waits_is_counted_and_aged_a_lane(self, world: World) -> None:
        await world.put(*messages(3, lane=Lane.LOW))
        world.clock.advance(2_500)
        await world.put(*messages(5, lane=Lane.HIGH))
        world.clock.advance(500)
        found = await signals(world)
        assert [lane.waiting for lane in found.lanes.values()] == [5, 0, 3]
        assert [lane.oldest_age_seconds for lane in found.lanes.values()] == [0.5, 0, 3]
        assert (found.waiting, found.in_flight, found.in_system) == (8, 0, 8)
        await world.claim(6)
        found = await signals(world)
        assert (found.waiting, found.in_flight, found.in_system) == (2, 6, 8)

    async def test_an_age_is_not_below_0_when_the_clock_was_set_back(self, world: World) -> None:
        await world.put(message())
        world.clock.advance(-60_000)
        found = await signals(world)
        assert found.lanes[Lane.NORMAL].oldest_age_seconds == 0
        assert found.lanes[Lane.NORMAL].arrivals == NONE

    async def test_delayed_messages_are_due_soon_within_the_time_that_was_asked_for(
        self, world: World
    ) -> None:
        await world.put(*(message(delay_ms=delay) for delay in (1_000, 30_000, 30_001, 90_000)))
        (found,) = (await read(world, due_within_seconds=30)).queues
        assert (found.delayed, found.due_soon, found.due_within_seconds) == (4, 2, 30)
        assert found.lanes[Lane.NORMAL].arrivals == Counts(counts=(4, 4, 4, 4))
        world.clock.advance(40_000)
        (found,) = (await read(world, due_within_seconds=0)).queues
        assert (found.delayed, found.due_soon) == (4, 3)

    async def test_a_paused_queue_says_so(self, world: World) -> None:
        await world.put(message())
        await world.store.pause("coder")
        assert (await signals(world)).paused
        await world.store.resume("coder")
        assert not (await signals(world)).paused

    async def test_arrivals_are_counted_a_lane_and_a_window(self, world: World) -> None:
        for gap_seconds, count in ((0, 1), (240, 2), (250, 4), (50, 8)):
            world.clock.advance(gap_seconds * SECOND)
            await world.put(*messages(count, lane=Lane.HIGH))
        await world.put(message(lane=Lane.LOW))
        found = await signals(world)
        assert found.lanes[Lane.HIGH].arrivals == Counts(counts=(8, 12, 12, 15))
        assert found.lanes[Lane.NORMAL].arrivals == NONE
        assert found.lanes[Lane.LOW].arrivals == Counts(counts=(1, 1, 1, 1))

    async def test_a_second_leaves_a_window_when_it_is_as_old_as_the_window_is_long(
        self, world: World
    ) -> None:
        await world.put(*messages(3))
        for window, index in ((10, 0), (60, 1), (300, 2), (600, 3)):
            world.clock.advance((window - 1) * SECOND)
            assert (await signals(world)).lanes[Lane.NORMAL].arrivals.counts[index] == 3
            world.clock.advance(SECOND)
            assert (await signals(world)).lanes[Lane.NORMAL].arrivals.counts[index] == 0
            world.clock.advance(-window * SECOND)

    async def test_after_hours_without_work_nothing_old_is_counted(self, world: World) -> None:
        for _ in range(20):
            world.clock.advance(SECOND)
            await world.put(*messages(2))
            await world.settle(*(ack(lease) for lease in await world.claim()))
        world.clock.advance(10 * KEPT_SECONDS * SECOND)
        idle = await signals(world)
        assert (idle.lanes[Lane.NORMAL].arrivals, idle.completions) == (NONE, NONE)
        await world.put(message())
        assert (await signals(world)).lanes[Lane.NORMAL].arrivals.counts == (1, 1, 1, 1)

    async def test_a_retry_and_a_release_are_no_arrivals_and_a_replay_is(
        self, world: World
    ) -> None:
        await world.put(*messages(3))
        again, back, dead = await world.claim()
        await world.settle(retry(again), release(back), bury(dead))
        found = await signals(world)
        assert found.lanes[Lane.NORMAL].arrivals.within(10) == 3
        assert (found.failures.within(10), found.completions.within(10)) == (2, 0)
        await world.store.replay("coder", [dead.message_id])
        assert (await signals(world)).lanes[Lane.NORMAL].arrivals.within(10) == 4

    async def test_a_follow_up_arrives_in_its_own_queue_and_lane(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        follow_ups = [
            message(queue="judge", lane=lane, delay_ms=delay, beside=lease.message_id)
            for lane, delay in ((Lane.HIGH, 0), (Lane.LOW, 0), (Lane.LOW, 5_000))
        ]
        await world.settle(ack(lease, *follow_ups))
        found = await signals(world, "judge")
        assert [lane.arrivals.within(10) for lane in found.lanes.values()] == [1, 0, 2]
        assert (await signals(world)).completions == Counts(counts=(1, 1, 1, 1))

    async def test_starts_and_their_waits_are_counted_a_lane(self, world: World) -> None:
        await world.put(*messages(2, lane=Lane.HIGH), message(lane=Lane.LOW))
        world.clock.advance(40)
        await world.put(message(lane=Lane.LOW))
        world.clock.advance(700)
        await world.claim(3)
        world.clock.advance(15_000)
        await world.claim(1)
        found = await signals(world)
        high, low = found.lanes[Lane.HIGH], found.lanes[Lane.LOW]
        assert (high.starts.counts, low.starts.counts) == ((0, 2, 2, 2), (1, 2, 2, 2))
        assert high.waits.counts == buckets(740, 740)
        assert low.waits.counts == buckets(740, 15_700)
        assert high.waits.percentile_seconds(0.95) is not None
        world.clock.advance(70_000)
        late = await signals(world)
        assert late.lanes[Lane.LOW].waits.total == 0
        assert late.lanes[Lane.LOW].waits.percentile_seconds(0.5) is None

    async def test_acks_are_completions_and_running_times_give_mean_and_variance(
        self, world: World
    ) -> None:
        await world.put(*messages(3))
        leases = await world.claim()
        times_ms = (100, 200, 600)
        squares = sum(ms * ms for ms in times_ms)
        run = RunTime(count=3, total_us=sum(times_ms) * 1000, squares_ms2=squares)
        await world.store.commit(A, acks=leases, run_times={"coder": run})
        found = await signals(world)
        assert found.completions == Counts(counts=(3, 3, 3, 3))
        assert (found.service.count, round(found.service.mean_seconds, 9)) == (3, 0.3)
        assert round(found.service.variance_seconds2, 9) == 0.07
        world.clock.advance(KEPT_SECONDS * SECOND)
        later = await signals(world)
        assert (later.completions, later.service.count) == (NONE, 0)

    async def test_a_refused_ack_is_no_completion(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        for _ in range(2):
            await world.store.commit(A, acks=[lease])
        assert (await signals(world)).completions.within(10) == 1

    async def test_minutes_that_are_over_are_told_and_no_other(self, world: World) -> None:
        world.clock.advance(60_000 - world.clock.now_ms() % 60_000)  # a minute begins
        began = world.clock.now_ms()
        await world.put(*messages(2, lane=Lane.HIGH))
        world.clock.advance(59_000)
        await world.put(message(lane=Lane.HIGH))
        leases = await world.claim()
        run = RunTime(count=2, total_us=5_000, squares_ms2=13)
        await world.store.commit(
            A, acks=leases[:2], settlements=[retry(leases[2])], run_times={"coder": run}
        )
        assert began not in {
            minute.starts_at_ms for minute in await world.store.arrival_minutes(["coder"])
        }
        world.clock.advance(SECOND)
        for waited in range(MINUTES_KEPT):
            minutes = await world.store.arrival_minutes(["coder", "ghost"])
            told = {m.starts_at_ms: m for m in minutes if m.queue == "coder"}
            assert len(told) == len(minutes) / 2 == MINUTES_KEPT
            assert list(told) == [
                began + (waited - back) * 60_000 for back in reversed(range(MINUTES_KEPT))
            ]
            minute = told[began]
            assert (minute.lanes[Lane.HIGH].arrivals, minute.lanes[Lane.HIGH].starts) == (3, 3)
            assert minute.lanes[Lane.HIGH].waits == buckets(59_000, 59_000, 0)
            assert (minute.completions, minute.failures) == (2, 1)
            assert (minute.runs, minute.run_us, minute.run_ms2) == (2, 5_000, 13)
            others = [m for m in minutes if m is not minute]
            assert not any(m.completions or m.lanes[Lane.HIGH].starts for m in others)
            world.clock.advance(60_000)
        minutes = await world.store.arrival_minutes(["coder"])
        assert began not in {minute.starts_at_ms for minute in minutes}


def presence(
    name: str, *queues: str, fleet: str = "", running: int = 0, is_draining: bool = False
) -> Presence:
    return Presence(
        session="",
        name=name,
        fleet=fleet,
        queues=queues,
        slots=8,
        running=running,
        started_at_ms=5,
        ready_at_ms=7,
        said_at_ms=0,
        is_draining=is_draining,
        at_risk_seconds=1.5,
        at_risk_cost=0.25,
        at_risk_longest_seconds=1.25,
        requests_per_second=3.5,
        host="höst",
        pid=42,
    )


class SayingWhoIsThere:
    async def test_what_a_worker_says_is_told_with_its_session_and_when_it_said_so(
        self, world: World
    ) -> None:
        await world.store.extend(A, presence("arm-1", "coder", "judge", running=3))
        (worker,) = (await read(world)).workers
        assert (worker.session, worker.said_at_ms) == (A, world.clock.now_ms())
        assert (worker.name, worker.queues, worker.host) == ("arm-1", ("coder", "judge"), "höst")
        assert (worker.slots, worker.running, worker.pid) == (8, 3, 42)
        assert (worker.at_risk_seconds, worker.at_risk_cost) == (1.5, 0.25)
        assert worker.at_risk_longest_seconds == 1.25
        assert (worker.started_at_ms, worker.ready_at_ms, worker.is_ready) == (5, 7, True)
        assert worker.requests_per_second == 3.5

    async def test_the_newest_that_was_said_counts_and_a_beat_without_words_changes_nothing(
        self, world: World
    ) -> None:
        await world.store.extend(A, presence("arm", "coder", running=3))
        world.clock.advance(100)
        await world.store.extend(A, presence("arm", "coder", running=4, is_draining=True))
        said_at_ms = world.clock.now_ms()
        world.clock.advance(100)
        await world.store.extend(A)
        (worker,) = (await read(world)).workers
        assert (worker.running, worker.is_draining, worker.said_at_ms) == (4, True, said_at_ms)

    async def test_workers_of_other_queues_are_told_only_with_their_fleet(
        self, world: World
    ) -> None:
        await world.store.extend(A, presence("a", "coder", fleet="coder"))
        await world.store.extend(B, presence("b", "judge", fleet="coder"))
        assert [worker.name for worker in (await read(world)).workers] == ["a"]
        assert [worker.name for worker in (await read(world, fleet="coder")).workers] == ["a", "b"]
        assert [worker.name for worker in (await read(world, "judge")).workers] == ["b"]
        assert (await read(world, "code", fleet="code")).workers == ()

    async def test_a_worker_of_several_queues_is_told_once(self, world: World) -> None:
        await world.store.extend(A, presence("a", "coder", "judge", fleet="arms"))
        assert len((await read(world, "coder", "judge", fleet="arms")).workers) == 1

    async def test_a_name_that_is_a_queue_elsewhere_is_no_queue(self, world: World) -> None:
        await world.store.extend(A, presence("coder", "judge"))
        assert (await read(world, "coder")).workers == ()

    async def test_who_says_nothing_is_not_told(self, world: World) -> None:
        await world.store.extend(A)
        assert (await read(world)).workers == ()

    async def test_who_has_ended_is_not_told_whatever_he_said(self, world: World) -> None:
        await world.store.extend(A, presence("a", "coder"))
        await world.store.retire(A)
        assert (await read(world)).workers == ()
        await world.store.extend(A)
        assert (await read(world)).workers == ()

    async def test_who_has_died_is_not_told_before_and_after_he_is_reclaimed(
        self, world: World
    ) -> None:
        await world.store.extend(A, presence("a", "coder"))
        world.clock.advance(LEASE_MS)
        assert (await read(world)).workers == ()
        await world.store.reclaim()
        await world.store.extend(A)
        assert (await read(world)).workers == ()
