"""What a lane store promises to those who decide about dead letters."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from octoqueue.errors import LaneFull, NotReplayable
from octoqueue.primitives.envelope import unpack_header
from octoqueue.primitives.ids import MessageId, new_message_id, text_from_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue, Lease, Outcome, ResultRecord, Settlement
from tests.contract.world import (
    AT_ONCE,
    LEASE_MS,
    ONE_PARTITION,
    SOON,
    WIDE,
    MakesStores,
    World,
    ack,
    bury,
    ids,
    lanes,
    message,
    messages,
    neighbours,
    retry,
)

HOUR = timedelta(hours=1)


async def buried(world: World, *sent: Enqueue) -> list[MessageId]:
    """Put, claim and bury these; return their ids in the order they were given."""
    await world.put(*sent)
    queues = sorted({one.queue for one in sent})
    await world.settle(*map(bury, await world.claim(len(sent), queues=queues)))
    return ids(sent)


async def buried_garbage(world: World) -> MessageId:
    """Bury what is no envelope, in a partition that its name does not say."""
    await world.inject("coder", Lane.HIGH, b"garbage", beside=new_message_id())
    assert await world.claim() == []
    (letter,) = await world.store.dead_letters("coder")
    return letter.message_id


class Replaying:
    async def test_a_dead_letter_is_read_by_its_id(self, world: World) -> None:
        first, second = await buried(world, *messages(2))
        letter = await world.store.dead_letter("coder", first)
        assert letter in await world.store.dead_letters("coder")
        assert letter is not None
        assert (letter.message_id, letter.reason) == (first, b'{"error":"Poison"}')
        assert await world.store.dead_letter("judge", second) is None
        assert await world.store.dead_letter("coder", new_message_id()) is None
        garbage = await buried_garbage_beside(world, known={first, second})
        unreadable = await world.store.dead_letter("coder", garbage)
        assert unreadable is not None
        assert unreadable.payload == b"garbage"

    async def test_a_replayed_message_is_new_again_at_the_tail_of_its_lane(
        self, world: World
    ) -> None:
        sent = message("the same body", lane=Lane.HIGH)
        await world.put(sent)
        for _ in range(2):
            await world.settle(retry(await world.claim_one()))
        await world.claim_one()
        world.clock.advance(LEASE_MS)
        await world.store.reclaim()
        await world.settle(bury(await world.claim_one()))
        before = message(lane=Lane.HIGH, beside=sent.message_id)
        await world.put(before)
        world.clock.advance(777)
        assert await world.store.replay("coder", [sent.message_id]) == [sent.message_id]
        assert await world.store.dead_letters("coder") == []
        leases = await world.claim()
        assert ids(leases) == [before.message_id, sent.message_id]
        assert lanes(leases) == [Lane.HIGH, Lane.HIGH]
        header = unpack_header(leases[1].payload)
        assert (header.deliveries, header.attempt) == (0, 0)
        assert header.ready_at_ms == world.clock.now_ms()
        assert header.flags == unpack_header(sent.payload).flags
        assert leases[1].payload.endswith(b"the same body")

    async def test_replayed_messages_keep_the_order_in_which_they_are_named(
        self, world: World
    ) -> None:
        one, two, three = await buried(world, *neighbours(3))
        assert await world.store.replay("coder", [two, three, one]) == [two, three, one]
        assert ids(await world.claim()) == [two, three, one]

    async def test_every_replay_is_counted_and_what_is_in_flight_stays_exact(
        self, world: World
    ) -> None:
        dead = await buried(world, *messages(20), message(lane=Lane.LOW))
        await world.store.replay("coder", dead[1:])
        stats = await world.store.stats("coder")
        assert (stats.waiting, stats.dead, stats.in_flight) == (20, 1, 0)
        assert (stats.counters["replayed"], stats.counters["enqueued"]) == (20, 21)
        leases = await world.claim()
        assert (await world.store.stats("coder")).in_flight == 20
        await world.settle(*map(ack, leases))
        assert (await world.store.stats("coder")).in_flight == 0

    async def test_what_is_not_dead_is_left_out_and_a_replay_sent_twice_moves_once(
        self, world: World
    ) -> None:
        (dead,) = await buried(world, message())
        waiting = message()
        await world.put(waiting)
        wish = [new_message_id(), dead, waiting.message_id, dead]
        assert await world.store.replay("coder", wish) == [dead]
        assert await world.store.replay("coder", wish) == []
        assert await world.store.replay("judge", [dead]) == []
        assert await world.store.replay("coder", []) == []
        assert await world.depth() == (0, 2, 0)
        assert (await world.store.stats("coder")).counters["replayed"] == 1

    async def test_two_who_replay_the_same_letters_move_each_once(self, world: World) -> None:
        dead = await buried(world, *messages(40))
        one, two = await asyncio.gather(
            world.store.replay("coder", dead), world.store.replay("coder", dead[::-1])
        )
        assert sorted(one + two) == sorted(dead)
        assert await world.depth() == (0, 40, 0)

    async def test_a_replay_wakes_somebody_who_waits_for_the_queue(self, world: World) -> None:
        dead = await buried(world, message())
        while await world.store.wait_for_bell(["coder"], timeout=AT_ONCE):
            pass
        waiter = asyncio.create_task(world.store.wait_for_bell(["coder"], timeout=SOON))
        await world.store.replay("coder", dead)
        assert await waiter is True

    async def test_a_full_lane_refuses_all_of_a_replay_unless_told_otherwise(
        self, make: MakesStores
    ) -> None:
        world = await make(ONE_PARTITION)
        sent = [message(lane=lane, queue="narrow") for lane in (*[Lane.HIGH] * 2, Lane.LOW)]
        dead = await buried(world, *sent)
        await world.put(message(lane=Lane.HIGH, queue="narrow"))
        with pytest.raises(LaneFull) as refused:
            await world.store.replay("narrow", dead[::-1])
        error = refused.value
        assert (error.queue, error.lane, error.depth, error.bound) == ("narrow", "high", 1, 2)
        assert await world.depth("narrow") == (1, 0, 0)
        stats = await world.store.stats("narrow")
        assert (stats.dead, "replayed" in stats.counters) == (3, False)
        assert await world.store.replay("narrow", dead[1:]) == dead[1:], "there is room for one"
        assert await world.store.replay("narrow", dead, over_bound=True) == dead[:1]
        assert await world.depth("narrow") == (3, 0, 1)

    async def test_what_is_no_envelope_is_named_and_nothing_beside_it_is_replayed(
        self, make: MakesStores
    ) -> None:
        world = await make(ONE_PARTITION)
        dead = await buried(world, *messages(2))
        garbage = await buried_garbage_beside(world, known=set(dead))
        with pytest.raises(NotReplayable) as refused:
            await world.store.replay("coder", [dead[0], garbage, dead[1]])
        assert refused.value.message_id == text_from_id(garbage)
        assert (await world.store.stats("coder")).dead == 3
        assert await world.depth() == (0, 0, 0)

    async def test_what_is_no_envelope_is_found_in_whatever_partition_it_died(
        self, world: World
    ) -> None:
        for _ in range(4):
            garbage = await buried_garbage(world)
            with pytest.raises(NotReplayable):
                await world.store.replay("coder", [garbage])
            assert await world.store.purge("coder", [garbage]) == 1

    async def test_the_failure_kept_as_a_result_is_dropped_so_that_a_caller_waits_for_the_next_run(
        self, world: World
    ) -> None:
        sent = message()
        await world.put(sent)
        await world.settle(failed(await world.claim_one()))
        assert await world.store.result(sent.message_id) == b'{"error":"E"}'
        await world.store.replay("coder", [sent.message_id])
        assert await world.store.result(sent.message_id) is None
        await world.settle(ack(await world.claim_one(), result=b'{"ok":1}'))
        assert await world.store.wait_for_result(sent.message_id, timeout=SOON) == b'{"ok":1}'

    async def test_a_replayed_message_may_die_again(self, world: World) -> None:
        (dead,) = await buried(world, message())
        await world.store.replay("coder", [dead])
        world.clock.advance(5)
        await world.settle(bury(await world.claim_one(), b"again"))
        (letter,) = await world.store.dead_letters("coder")
        assert (letter.message_id, letter.reason) == (dead, b"again")
        stats = await world.store.stats("coder")
        assert (stats.counters["dead"], stats.dead, stats.in_flight) == (2, 1, 0)


class Purging:
    async def test_purged_letters_are_gone_and_counted(self, world: World) -> None:
        dead = await buried(world, *messages(20))
        gone = [*dead[:15], dead[0], new_message_id()]
        assert await world.store.purge("coder", gone) == 15
        assert await world.store.purge("coder", gone) == 0
        assert await world.store.purge("judge", dead) == 0
        left = await world.store.dead_letters("coder")
        assert {letter.message_id for letter in left} == set(dead[15:])
        stats = await world.store.stats("coder")
        assert (stats.dead, stats.counters["purged"], stats.in_flight) == (5, 15, 0)
        assert await world.store.replay("coder", dead[:15]) == []

    async def test_what_died_longer_ago_than_an_age_is_purged(self, world: World) -> None:
        await buried(world, *messages(20))
        world.clock.advance(1)
        kept = await buried(world, *messages(10))
        world.clock.advance(HOUR // timedelta(milliseconds=1))
        assert await world.store.purge("coder", older_than=HOUR) == 20
        assert await world.store.purge("coder", older_than=HOUR) == 0
        left = await world.store.dead_letters("coder")
        assert {letter.message_id for letter in left} == set(kept)
        assert (await world.store.stats("coder")).counters["purged"] == 20

    async def test_those_named_and_those_beyond_an_age_go_together(self, world: World) -> None:
        await buried(world, message())
        world.clock.advance(2_000)
        named, _ = await buried(world, *messages(2))
        assert await world.store.purge("coder", [named], older_than=timedelta(seconds=1)) == 2
        assert (await world.store.stats("coder")).dead == 1

    async def test_more_than_one_call_can_hold_are_purged_by_age(self, make: MakesStores) -> None:
        world = await make(WIDE)
        await buried(world, *neighbours(1_100))
        world.clock.advance(1)
        assert await world.store.purge("coder", older_than=timedelta(0)) == 1_100
        assert (await world.store.stats("coder")).dead == 0

    async def test_nothing_is_purged_when_nothing_is_named(self, world: World) -> None:
        await buried(world, message())
        assert await world.store.purge("coder") == 0
        assert await world.store.purge("ghost", older_than=timedelta(0)) == 0
        assert (await world.store.stats("coder")).dead == 1


async def buried_garbage_beside(world: World, *, known: set[MessageId]) -> MessageId:
    await world.inject("coder", Lane.HIGH, b"garbage")
    assert await world.claim() == []
    letters = await world.store.dead_letters("coder")
    (garbage,) = {letter.message_id for letter in letters} - known
    return garbage


def failed(lease: Lease) -> Settlement:
    kept = ResultRecord(body=b'{"error":"E"}', ttl_ms=60_000)
    return Settlement(lease=lease, outcome=Outcome.DEAD_LETTER, reason=b"{}", result=kept)
