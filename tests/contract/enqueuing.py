"""What a lane store promises to those who put messages in."""

from __future__ import annotations

import pytest

from octoqueue.errors import DelayedFull, LaneFull
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.envelope import HEADER_BYTES, unpack_header
from octoqueue.primitives.lane import Lane
from tests.contract.world import (
    ONE_PARTITION,
    WIDE,
    MakesStores,
    World,
    ack,
    ids,
    message,
    messages,
)

BOUNDED = LaneOptions(default_bounds=LaneBounds(high=30, normal=30, low=30))


class Enqueuing:
    async def test_a_message_comes_out_as_it_went_in_stamped_with_the_stores_time(
        self, world: World
    ) -> None:
        sent = message('{"n":1}', lane=Lane.HIGH)
        await world.put(sent)
        lease = await world.claim_one()
        header = unpack_header(lease.payload)
        assert lease.message_id == sent.message_id
        assert lease.payload[HEADER_BYTES:] == b'{"n":1}'
        assert header.ready_at_ms == world.clock.now_ms()
        assert (header.attempt, header.deliveries) == (0, 0)
        assert header.flags == unpack_header(sent.payload).flags

    async def test_a_body_may_be_empty_binary_or_large(self, world: World) -> None:
        sent = [message(body) for body in ("", "\0\r\n$-1", "x" * 200_000)]
        await world.put(*sent)
        leases = {lease.message_id: lease for lease in await world.claim()}
        for one in sent:
            assert leases[one.message_id].payload[HEADER_BYTES:] == one.payload[HEADER_BYTES:]

    async def test_enqueuing_nothing_is_accepted(self, world: World) -> None:
        assert await world.store.enqueue([]) == []
        assert await world.store.enqueue([[]]) == [None]

    async def test_ten_thousand_messages_may_come_in_one_call(self, make: MakesStores) -> None:
        world = await make(WIDE)
        sent = messages(10_000)
        refusals = await world.store.enqueue([sent[:5_000], *([one] for one in sent[5_000:])])
        assert refusals == [None] * 5_001
        assert await world.depth() == (0, 10_000, 0)

    async def test_a_queue_is_listed_once_it_was_used(self, world: World) -> None:
        await world.put(message(queue="judge"), message(queue="coder"), message(queue="coder"))
        assert await world.store.queues() == ["coder", "judge"]


class Bounding:
    """Where a lane's bound is exact: in a store of one partition, whatever the store."""

    @pytest.fixture
    async def narrow(self, make: MakesStores) -> World:
        """A world whose queue `narrow` takes 2 high, 3 normal, 4 low and 3 delayed messages."""
        return await make(ONE_PARTITION)

    async def test_a_full_lane_refuses_and_says_how_full_it_is(self, narrow: World) -> None:
        await narrow.put(*(message(queue="narrow") for _ in range(3)))
        (refusal,) = await narrow.store.enqueue([[message(queue="narrow")]])
        assert type(refusal) is LaneFull
        assert (refusal.queue, refusal.lane) == ("narrow", "normal")
        assert (refusal.depth, refusal.bound) == (3, 3)
        assert await narrow.depth("narrow") == (0, 3, 0)

    async def test_every_lane_and_every_queue_has_a_bound_of_its_own(self, narrow: World) -> None:
        await narrow.put(*(message(queue="narrow", lane=Lane.HIGH) for _ in range(2)))
        await narrow.put(*(message(queue="narrow", lane=Lane.LOW) for _ in range(4)))
        await narrow.put(*(message(queue="other", lane=Lane.HIGH) for _ in range(5)))
        assert await narrow.depth("narrow") == (2, 0, 4)
        assert await narrow.depth("other") == (5, 0, 0)

    async def test_a_group_is_stored_whole_or_not_at_all(self, narrow: World) -> None:
        group = [message(queue="narrow", lane=Lane.HIGH) for _ in range(3)]
        (refusal,) = await narrow.store.enqueue([group])
        assert isinstance(refusal, LaneFull)
        assert (refusal.depth, refusal.bound) == (0, 2)
        assert await narrow.depth("narrow") == (0, 0, 0)

    async def test_a_group_over_two_lanes_is_refused_when_either_is_full(
        self, narrow: World
    ) -> None:
        group = [message(queue="other"), *(message(queue="narrow") for _ in range(4))]
        (refusal,) = await narrow.store.enqueue([group])
        assert isinstance(refusal, LaneFull)
        assert (refusal.queue, refusal.lane) == ("narrow", "normal")
        assert await narrow.depth("other") == (0, 0, 0)

    async def test_groups_of_one_call_stand_by_themselves_and_count_in_their_order(
        self, narrow: World
    ) -> None:
        first, second, third = (
            [message(queue="narrow") for _ in range(count)] for count in (2, 2, 1)
        )
        refusals = await narrow.store.enqueue([first, second, third])
        assert [refusal is None for refusal in refusals] == [True, False, True]
        assert ids(await narrow.claim(queues=["narrow"])) == ids(first + third)

    async def test_what_is_claimed_makes_room(self, narrow: World) -> None:
        await narrow.put(*(message(queue="narrow") for _ in range(3)))
        await narrow.claim(1, queues=["narrow"])
        await narrow.put(message(queue="narrow"))

    async def test_delayed_messages_have_a_bound_over_all_lanes_of_their_queue(
        self, narrow: World
    ) -> None:
        await narrow.put(message(delay_ms=50, lane=Lane.HIGH), message(delay_ms=50, lane=Lane.LOW))
        group = [message(delay_ms=50, lane=lane) for lane in (Lane.HIGH, Lane.NORMAL)]
        (refusal,) = await narrow.store.enqueue([group])
        assert type(refusal) is DelayedFull
        assert (refusal.queue, refusal.depth, refusal.bound) == ("coder", 2, 3)
        assert (await narrow.store.stats("coder")).delayed == 2

    async def test_the_bound_of_delayed_messages_holds_over_the_lanes_of_one_call(
        self, narrow: World
    ) -> None:
        groups = [[message(delay_ms=50, lane=Lane(number % 3))] for number in range(5)]
        refusals = await narrow.store.enqueue(groups)
        assert [refusal is None for refusal in refusals] == [True, True, True, False, False]
        assert (await narrow.store.stats("coder")).delayed == 3

    async def test_a_full_lane_takes_delayed_messages_and_the_other_way_round(
        self, narrow: World
    ) -> None:
        await narrow.put(*(message(queue="narrow") for _ in range(3)))
        await narrow.put(*(message(queue="narrow", delay_ms=50) for _ in range(3)))

    async def test_a_follow_up_is_admitted_over_the_bound(self, narrow: World) -> None:
        await narrow.put(message(), *(message(queue="narrow") for _ in range(3)))
        lease = await narrow.claim_one()
        child = message(queue="narrow", beside=lease.message_id)
        await narrow.settle(ack(lease, child))
        assert await narrow.depth("narrow") == (0, 4, 0)


class GroupingOverPartitions:
    """What only a store that sees all partitions at once can promise."""

    async def test_a_group_over_many_partitions_is_stored_whole_or_not_at_all(
        self, make: MakesStores
    ) -> None:
        world = await make(BOUNDED)
        (refusal,) = await world.store.enqueue([messages(31)])
        assert isinstance(refusal, LaneFull)
        assert refusal.bound == 30
        assert await world.depth() == (0, 0, 0)
        assert await world.store.enqueue([messages(30)]) == [None]
        assert await world.depth() == (0, 30, 0)

    async def test_a_bound_is_exact_over_all_partitions(self, make: MakesStores) -> None:
        world = await make(BOUNDED)
        refusals = await world.store.enqueue([[one] for one in messages(40)])
        assert [refusal is None for refusal in refusals] == [True] * 30 + [False] * 10
