"""What a lane store promises about delayed messages."""

from __future__ import annotations

from datetime import timedelta

from octoqueue.primitives.envelope import unpack_header
from octoqueue.primitives.lane import Lane
from tests.contract.world import (
    LEASE_MS,
    A,
    World,
    ack,
    ids,
    lanes,
    message,
    messages,
)


def milliseconds(count: int) -> timedelta:
    return timedelta(milliseconds=count)


class Promoting:
    async def test_a_delayed_message_is_promoted_when_it_is_due_and_not_before(
        self, world: World
    ) -> None:
        sent = message(delay_ms=500)
        await world.put(sent)
        assert await world.claim() == []
        world.clock.advance(499)
        promotion = await world.store.promote("coder")
        assert (promotion.moved, promotion.next_due) == (0, milliseconds(1))
        world.clock.advance(1)
        promotion = await world.store.promote("coder")
        assert (promotion.moved, promotion.next_due) == (1, None)
        assert ids(await world.claim()) == [sent.message_id]

    async def test_it_is_stamped_with_the_moment_it_was_due_not_the_moment_it_was_moved(
        self, world: World
    ) -> None:
        due_ms = world.clock.now_ms() + 500
        await world.put(message(delay_ms=500))
        world.clock.advance(1_234)
        await world.store.promote("coder")
        assert unpack_header((await world.claim_one()).payload).ready_at_ms == due_ms
        waits = (await world.store.stats("coder")).waits
        assert waits[9] == 1  # 734 ms, up to a second

    async def test_it_is_promoted_into_its_own_lane(self, world: World) -> None:
        await world.put(*(message(delay_ms=5, lane=lane) for lane in reversed(Lane)))
        world.clock.advance(5)
        await world.store.promote("coder")
        assert lanes(await world.claim()) == list(Lane)

    async def test_messages_of_a_partition_are_promoted_in_the_order_they_are_due(
        self, world: World
    ) -> None:
        third = message(delay_ms=30)
        first, second = (message(delay_ms=d, beside=third.message_id) for d in (10, 20))
        await world.put(third, first, second)
        world.clock.advance(30)
        await world.store.promote("coder")
        assert ids(await world.claim()) == ids([first, second, third])

    async def test_the_next_due_is_the_earliest_of_all_partitions(self, world: World) -> None:
        await world.put(*(message(delay_ms=delay) for delay in range(900, 100, -20)))
        assert (await world.store.promote("coder")).next_due == milliseconds(120)

    async def test_nothing_delayed_has_no_next_due(self, world: World) -> None:
        promotion = await world.store.promote("coder")
        assert (promotion.moved, promotion.next_due) == (0, None)

    async def test_many_due_messages_are_all_promoted_in_the_end(self, world: World) -> None:
        first = message(delay_ms=5)
        rest = [message(delay_ms=5, beside=first.message_id) for _ in range(1_200)]
        await world.store.enqueue([[first, *rest]])
        world.clock.advance(5)
        moved = 0
        while (promotion := await world.store.promote("coder")).moved:
            moved += promotion.moved
            assert promotion.next_due in (None, milliseconds(0))
        assert moved == 1_201
        assert await world.depth() == (0, 1_201, 0)
        assert (await world.store.stats("coder")).counters["promoted"] == 1_201

    async def test_a_queue_promotes_its_own_messages_only(self, world: World) -> None:
        await world.put(message(delay_ms=5), message(queue="judge", delay_ms=5))
        world.clock.advance(5)
        assert (await world.store.promote("judge")).moved == 1
        assert (await world.store.stats("coder")).delayed == 1

    async def test_delayed_messages_outlive_their_parents_session(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        child = message(delay_ms=LEASE_MS * 2, beside=lease.message_id)
        await world.settle(ack(lease, child))
        world.clock.advance(LEASE_MS * 2)
        await world.store.reclaim()
        assert (await world.store.promote("coder")).moved == 1
        assert ids(await world.claim(session=A)) == [child.message_id]

    async def test_undecodable_bytes_among_the_delayed_block_nobody(self, world: World) -> None:
        sent = messages(2)
        for garbage in (b"", b"?", b"\x01 \x07" + bytes(40), b"\x02" + sent[0].payload[1:]):
            await world.inject_delayed("coder", world.clock.now_ms(), garbage)
        await world.put(message(delay_ms=1))
        world.clock.advance(1)
        while (await world.store.promote("coder")).moved:
            pass
        assert len(await world.claim()) == 1
        assert len(await world.store.dead_letters("coder")) == 4
        assert (await world.store.stats("coder")).delayed == 0
