"""What a lane store promises to those who take messages out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Lease
from octoqueue.routing.partitions import PartitionMap
from tests.contract.world import (
    AT_ONCE,
    OPTIONS,
    WIDE,
    A,
    B,
    MakesStores,
    World,
    ack,
    bury,
    ids,
    lanes,
    message,
    messages,
    neighbours,
    release,
    retry,
)


class Claiming:
    async def test_lanes_are_served_strictly_whatever_the_partition(self, world: World) -> None:
        for lane in (Lane.LOW, Lane.HIGH, Lane.NORMAL):
            await world.put(*messages(20, lane=lane))
        claimed = [lane for _ in range(9) for lane in lanes(await world.claim(7))]
        assert claimed == [Lane.HIGH] * 20 + [Lane.NORMAL] * 20 + [Lane.LOW] * 20

    async def test_a_high_message_of_one_queue_goes_before_a_normal_one_of_another(
        self, world: World
    ) -> None:
        await world.put(*(message(queue="coder") for _ in range(10)))
        await world.put(*(message(queue="judge", lane=Lane.HIGH) for _ in range(10)))
        leases = await world.claim(10, queues=["coder", "judge"])
        assert {lease.queue for lease in leases} == {"judge"}

    async def test_messages_of_one_partition_and_lane_come_in_their_order(
        self, world: World
    ) -> None:
        sent = neighbours(50)
        await world.put(*sent)
        claimed = [*await world.claim(20), *await world.claim(20), *await world.claim(20)]
        assert ids(claimed) == ids(sent)

    async def test_a_claim_never_exceeds_its_limit_and_takes_all_there_is_below_it(
        self, world: World
    ) -> None:
        await world.put(*messages(30))
        assert len(await world.claim(29)) == 29
        assert len(await world.claim(29)) == 1
        assert await world.claim(29) == []

    async def test_no_partition_is_always_served_first(self, world: World) -> None:
        partitions = [neighbours(30) for _ in range(12)]
        await world.put(*(one for row in zip(*partitions, strict=True) for one in row))
        claimed = [lease for _ in range(30) for lease in await world.claim(1)]
        assert len({lease.partition for lease in claimed}) > 2

    async def test_no_queue_is_always_served_first(self, world: World) -> None:
        for queue in ("coder", "judge"):
            await world.put(*(message(queue=queue) for _ in range(20)))
        # Each partition begins with each queue in turn: two rounds over at most ten partitions.
        claimed = [x for _ in range(20) for x in await world.claim(1, queues=["coder", "judge"])]
        assert {lease.queue for lease in claimed} == {"coder", "judge"}

    @pytest.mark.parametrize("count", [2, 4, 12])
    async def test_nothing_is_left_out_while_each_claim_is_filled_by_what_it_begins_with(
        self, make: MakesStores, count: int
    ) -> None:
        world = await make(replace(OPTIONS, partitions=4))
        queues, map_ = [f"queue-{number}" for number in range(count)], PartitionMap(4)
        beside = {map_.of_id(one): one for one in (new_message_id() for _ in range(200))}
        rounds = 6
        for _ in range(2 * rounds):
            for one in beside.values():
                await world.put(*(message(queue=queue, beside=one) for queue in queues))
        claimed = [
            x for _ in range(rounds * 4 * count) for x in await world.claim(1, queues=queues)
        ]
        places = {(lease.queue, map_.of_id(lease.message_id)) for lease in claimed}
        assert places == {(queue, partition) for queue in queues for partition in range(4)}

    async def test_of_many_queues_a_claim_takes_all_there_is_strictly_by_lanes(
        self, world: World
    ) -> None:
        queues = [f"queue-{number}" for number in range(30)]
        assert await world.claim(queues=queues) == []
        for lane in (Lane.LOW, Lane.HIGH, Lane.NORMAL):
            await world.put(*(message(queue=queue, lane=lane) for queue in queues[:20]))
        claimed = [lane for _ in range(9) for lane in lanes(await world.claim(7, queues=queues))]
        assert claimed == [Lane.HIGH] * 20 + [Lane.NORMAL] * 20 + [Lane.LOW] * 20
        assert await world.claim(queues=queues) == []

    async def test_of_many_queues_none_is_forgotten(self, world: World) -> None:
        """However a message comes where it can be claimed."""
        queues = [f"queue-{number}" for number in range(30)]
        assert await world.claim(queues=queues) == []
        await world.put(*(message(queue=queue) for queue in queues))
        await world.put(message(queue="queue-0", delay_ms=5))
        leases = {lease.queue: lease for lease in await world.claim(30, queues=queues)}
        child = message(queue="queue-9", beside=leases["queue-1"].message_id)
        await world.settle(
            ack(leases.pop("queue-1"), child),
            retry(leases.pop("queue-2")),
            release(leases.pop("queue-3")),
            bury(buried := leases.pop("queue-4")),
        )
        await world.store.replay("queue-4", [buried.message_id])
        world.clock.advance(5)
        assert (await world.store.promote("queue-0")).moved == 1
        again = await world.claim(30, queues=queues)
        assert sorted(lease.queue for lease in again) == [
            f"queue-{number}" for number in (0, 2, 3, 4, 9)
        ]
        await world.store.commit(A, acks=again)
        world.clock.advance(20_000)
        assert await world.store.reclaim() == len(leases)
        back = await world.claim(30, queues=queues)
        assert {lease.queue for lease in back} == set(leases)

    async def test_a_claim_of_nothing_takes_nothing(self, world: World) -> None:
        await world.put(message())
        assert await world.claim(0) == []
        assert await world.claim(5, queues=[]) == []
        assert await world.depth() == (0, 1, 0)

    async def test_a_claim_sees_its_queues_only(self, world: World) -> None:
        await world.put(message(queue="coder"), message(queue="judge"))
        (lease,) = await world.claim(queues=["judge"])
        assert lease.queue == "judge"
        assert await world.depth("coder") == (0, 1, 0)

    async def test_a_claim_of_thousands_is_strict_and_whole(self, make: MakesStores) -> None:
        world = await make(WIDE)
        await world.put(*neighbours(1_500, lane=Lane.LOW))
        await world.put(*neighbours(2_500, lane=Lane.HIGH))
        assert lanes(await world.claim(3_000)) == [Lane.HIGH] * 2_500 + [Lane.LOW] * 500
        assert (await world.store.stats("coder")).in_flight == 3_000

    async def test_no_two_claims_share_a_message_or_a_token(self, world: World) -> None:
        await world.put(*messages(40))
        leases = [
            lease for session in (A, B, A, B) for lease in await world.claim(10, session=session)
        ]
        assert len(set(ids(leases))) == 40
        assert len({lease.token for lease in leases}) == 40

    async def test_every_claim_of_a_message_has_a_token_of_its_own(self, world: World) -> None:
        await world.put(message())
        tokens = set()
        for _ in range(5):
            lease = await world.claim_one()
            tokens.add(lease.token)
            assert lease.token.startswith(lease.message_id)
            world.clock.advance(20_000)
            assert await world.store.reclaim() == 1
        assert len(tokens) == 5

    async def test_a_session_nobody_knows_is_registered_by_its_claim(self, world: World) -> None:
        await world.put(message())
        assert len(await world.claim(session=B)) == 1
        assert await world.store.extend(B) is True

    async def test_held_is_what_a_session_claimed_and_did_not_end(self, world: World) -> None:
        await world.put(*messages(10), *(message(queue="judge") for _ in range(3)))
        mine = await world.claim(10, queues=["coder", "judge"])
        await world.claim(3, session=B, queues=["coder", "judge"])
        await world.store.commit(A, acks=mine[:4])
        held = await world.store.held(A, ["coder", "judge"])
        assert sorted(held, key=str) == sorted(mine[4:], key=str)

    async def test_a_claim_whose_answer_was_lost_is_held_and_can_be_settled(
        self, world: World
    ) -> None:
        await world.put(*messages(3))
        await world.claim()  # and nobody keeps what it returned
        found = await world.store.held(A, ["coder"])
        assert len(found) == 3
        assert (await world.store.commit(A, acks=found)).acks == 0
        assert await world.store.held(A, ["coder"]) == []

    async def test_an_unknown_session_holds_nothing(self, world: World) -> None:
        assert await world.store.held(B, ["coder", "never-used"]) == []


class ClaimingTheUndecodable:
    async def test_what_is_no_envelope_becomes_a_dead_letter_and_others_go_on(
        self, world: World
    ) -> None:
        sent = messages(2, lane=Lane.HIGH)
        await world.put(sent[0])
        await world.inject("coder", Lane.HIGH, *GARBAGE, beside=sent[0].message_id)
        await world.put(sent[1])
        assert set(ids(await world.claim())) == set(ids(sent))
        letters = await world.store.dead_letters("coder")
        assert sorted(letter.payload for letter in letters) == sorted(GARBAGE)
        assert all(b"EnvelopeError" in letter.reason for letter in letters)
        assert {letter.died_at_ms for letter in letters} == {world.clock.now_ms()}

    async def test_undecodable_bytes_are_counted_but_never_in_flight(self, world: World) -> None:
        await world.inject("coder", Lane.LOW, b"?")
        assert await world.claim() == []
        stats = await world.store.stats("coder")
        assert (stats.in_flight, stats.dead) == (0, 1)
        assert stats.counters["undecodable"] == 1
        assert "claimed" not in stats.counters

    async def test_undecodable_bytes_do_not_let_a_lower_lane_pass(self, world: World) -> None:
        high = neighbours(5, lane=Lane.HIGH)
        await world.put(message(lane=Lane.LOW))
        await world.inject("coder", Lane.HIGH, *garbage(5), beside=high[0].message_id)
        await world.put(*high)
        assert ids(await world.claim(5)) == ids(high)

    async def test_a_heap_of_undecodable_bytes_is_cleared_and_the_rest_claimed(
        self, make: MakesStores
    ) -> None:
        world = await make(WIDE)
        last = message(lane=Lane.HIGH)
        await world.inject("coder", Lane.HIGH, *garbage(2_500), beside=last.message_id)
        await world.put(last)
        claimed = list[Lease]()
        while not claimed and await world.store.wait_for_bell(["coder"], timeout=AT_ONCE):
            claimed += await world.claim()
        assert ids(claimed) == [last.message_id]
        assert (await world.store.stats("coder")).counters["undecodable"] == 2_500

    async def test_a_message_that_was_sent_twice_is_counted_as_often_as_it_is_leased(
        self, world: World
    ) -> None:
        """A producer whose enqueue raised StoreUnavailable may send the same message again."""
        first = message("1")
        twin = message("1", message_id=first.message_id)
        elsewhere = message("1", message_id=first.message_id, lane=Lane.HIGH)
        await world.put(first, twin, elsewhere)
        runs = 0
        while await world.store.wait_for_bell(["coder"], timeout=AT_ONCE):
            leases = await world.claim()
            runs += len(leases)
            assert (await world.store.stats("coder")).in_flight == len(leases)
            assert len({lease.token for lease in leases}) == len(leases)
            assert (await world.store.commit(A, acks=leases)).acks == 0
        assert runs == 3
        assert (await world.store.stats("coder")).in_flight == 0
        assert await world.store.held(A, ["coder"]) == []


def garbage(count: int) -> list[bytes]:
    return [b"garbage %d" % number for number in range(count)]


GOOD = message().payload
GARBAGE = (
    b"",
    b"{}",
    b"\x01 \x00",
    GOOD[:31],
    b"\x02" + GOOD[1:],
    GOOD[:1] + b"\x40" + GOOD[2:],
    GOOD[:2] + b"\x03" + GOOD[3:],
    b"\xff" * 64,
)
