"""What a lane store promises to those who look."""

from __future__ import annotations

from octoqueue.primitives.histogram import WAIT_BUCKETS, bucket_of
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import QueueStats
from tests.contract.world import (
    LEASE_MS,
    A,
    B,
    World,
    ack,
    bury,
    ids,
    message,
    messages,
    neighbours,
    release,
    retry,
)

ENDED = ("acked", "retried", "dead", "released", "reclaimed")


class Reading:
    async def test_a_queue_never_used_has_nothing_and_is_not_listed(self, world: World) -> None:
        assert await world.store.stats("ghost") == QueueStats(
            queue="ghost",
            depth=dict.fromkeys(Lane, 0),
            delayed=0,
            dead=0,
            in_flight=0,
            oldest_age_seconds=0.0,
            counters={},
            waits=(0,) * WAIT_BUCKETS,
        )
        assert await world.store.dead_letters("ghost") == []
        assert (await world.store.promote("ghost")).moved == 0
        await world.store.flush("ghost")
        assert await world.store.queues() == []

    async def test_depths_are_counted_a_lane(self, world: World) -> None:
        for lane, count in zip(Lane, (3, 5, 7), strict=True):
            await world.put(*messages(count, lane=lane))
        await world.put(message(delay_ms=5), message(queue="judge"))
        stats = await world.store.stats("coder")
        assert stats.depth == {Lane.HIGH: 3, Lane.NORMAL: 5, Lane.LOW: 7}
        assert (stats.waiting, stats.delayed, stats.counters["enqueued"]) == (15, 1, 16)

    async def test_the_oldest_age_is_that_of_the_message_that_waits_longest(
        self, world: World
    ) -> None:
        await world.put(message(lane=Lane.LOW))
        world.clock.advance(2_500)
        await world.put(*messages(20, lane=Lane.HIGH))
        assert (await world.store.stats("coder")).oldest_age_seconds == 2.5
        await world.claim(20)
        assert (await world.store.stats("coder")).oldest_age_seconds == 2.5
        await world.claim(1)
        assert (await world.store.stats("coder")).oldest_age_seconds == 0

    async def test_undecodable_bytes_have_no_age(self, world: World) -> None:
        first = message()
        await world.inject("coder", Lane.NORMAL, b"?" * 40, beside=first.message_id)
        stats = await world.store.stats("coder")
        assert (stats.oldest_age_seconds, stats.waiting) == (0, 1)

    async def test_waits_are_counted_in_their_buckets_when_claimed(self, world: World) -> None:
        for wait in (0, 3, 999, 1_000, 1_001, 400_000):
            await world.put(message())
            world.clock.advance(wait)
            await world.claim()
            assert (await world.store.stats("coder")).waits[bucket_of(wait)] >= 1
        assert sum((await world.store.stats("coder")).waits) == 6

    async def test_what_was_claimed_is_in_flight_or_has_ended_once(self, world: World) -> None:
        await world.put(*messages(50))
        leases = await world.claim(30)
        one, two, three, four, *others = leases
        await world.store.commit(
            A, acks=others[:10], settlements=[ack(one), retry(two), bury(three), release(four)]
        )
        await world.claim(5, session=B)
        world.clock.advance(LEASE_MS)
        await world.store.extend(B)
        await world.store.reclaim()
        stats = await world.store.stats("coder")
        held = len(await world.store.held(A, ["coder"])) + len(await world.store.held(B, ["coder"]))
        assert stats.in_flight == held == 5
        assert stats.counters["claimed"] == 35
        assert sum(stats.counters.get(name, 0) for name in ENDED) == 30
        assert sum(stats.waits) == 35

    async def test_dead_letters_come_newest_first_and_at_most_as_many_as_asked(
        self, world: World
    ) -> None:
        await world.put(*messages(30))
        died = []
        for lease in await world.claim():
            world.clock.advance(1)
            await world.settle(bury(lease))
            died.append(lease.message_id)
        letters = await world.store.dead_letters("coder", limit=12)
        assert [letter.message_id for letter in letters] == died[::-1][:12]
        assert len(await world.store.dead_letters("coder")) == 30

    async def test_a_message_that_died_again_is_one_dead_letter(self, world: World) -> None:
        sent = message()
        await world.put(sent)
        await world.settle(bury(await world.claim_one(), b"first"))
        world.clock.advance(9)
        await world.put(sent)
        await world.settle(bury(await world.claim_one(), b"second"))
        (letter,) = await world.store.dead_letters("coder")
        assert (letter.reason, letter.died_at_ms) == (b"second", world.clock.now_ms())


class Flushing:
    async def test_flush_drops_what_waits_is_delayed_or_dead_and_nothing_else(
        self, world: World
    ) -> None:
        await world.put(*messages(20), message(queue="judge"))
        leases = await world.claim(5)
        await world.settle(bury(leases[0]))
        await world.put(message(delay_ms=5), *messages(3, lane=Lane.HIGH))
        await world.store.flush("coder")
        stats = await world.store.stats("coder")
        assert (stats.waiting, stats.delayed, stats.dead, stats.in_flight) == (0, 0, 0, 4)
        assert await world.claim() == []
        assert await world.store.dead_letters("coder") == []
        assert await world.depth("judge") == (0, 1, 0)

    async def test_leases_outlive_a_flush(self, world: World) -> None:
        await world.put(*neighbours(3))
        one, two, three = await world.claim()
        await world.store.flush("coder")
        await world.settle(release(one), retry(two))
        world.clock.advance(LEASE_MS)
        assert await world.store.reclaim() == 1
        assert sorted(ids(await world.claim())) == sorted(ids([one, two, three]))
