"""What a lane store promises about workers that live, die and come back."""

from __future__ import annotations

from datetime import timedelta

from octoqueue.primitives.envelope import unpack_header
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import SessionId
from tests.contract.world import (
    LEASE_MS,
    A,
    B,
    World,
    ids,
    message,
    messages,
    neighbours,
    retry,
)


class Sessions:
    async def test_extend_says_whether_the_session_had_been_alive(self, world: World) -> None:
        assert await world.store.extend(A) is False
        world.clock.advance(LEASE_MS - 1)
        assert await world.store.extend(A) is True
        world.clock.advance(LEASE_MS)
        assert await world.store.extend(A) is False
        assert await world.store.extend(A) is True

    async def test_a_session_that_renews_itself_keeps_all_it_holds(self, world: World) -> None:
        await world.put(*messages(20))
        leases = await world.claim()
        for _ in range(5):
            world.clock.advance(LEASE_MS - 1)
            assert await world.store.extend(A) is True
            assert await world.store.reclaim() == 0
        assert (await world.store.commit(A, acks=leases)).acks == 0

    async def test_nothing_is_reclaimed_before_the_lease_is_over(self, world: World) -> None:
        await world.put(message())
        await world.claim()
        world.clock.advance(LEASE_MS - 1)
        assert await world.store.reclaim() == 0
        world.clock.advance(1)
        assert await world.store.reclaim() == 1
        assert await world.store.reclaim() == 0

    async def test_a_reclaimed_message_has_been_delivered_once_more(self, world: World) -> None:
        await world.put(message())
        for deliveries in range(4):
            lease = await world.claim_one()
            header = unpack_header(lease.payload)
            assert (header.deliveries, header.attempt) == (deliveries, 0)
            world.clock.advance(LEASE_MS)
            assert await world.store.reclaim() == 1
        assert (await world.store.stats("coder")).counters["reclaimed"] == 4

    async def test_reclaimed_messages_go_to_the_head_of_their_lanes_in_their_order(
        self, world: World
    ) -> None:
        sent = neighbours(200)
        high = neighbours(30, lane=Lane.HIGH)
        await world.put(*sent, *high)
        await world.claim(130)
        world.clock.advance(LEASE_MS)
        assert await world.store.reclaim() == 130
        assert ids(await world.claim(300)) == ids([*high, *sent])

    async def test_reclaimed_messages_go_before_younger_ones(self, world: World) -> None:
        old, young = neighbours(2)
        await world.put(old)
        await world.claim()
        world.clock.advance(LEASE_MS)
        await world.put(young)
        await world.store.reclaim()
        assert ids(await world.claim()) == ids([old, young])

    async def test_only_dead_sessions_are_reclaimed_whatever_they_hold_where(
        self, world: World
    ) -> None:
        await world.put(*messages(20), *(message(queue="judge") for _ in range(20)))
        await world.claim(15, queues=["coder"])
        world.clock.advance(LEASE_MS // 2)
        alive = await world.claim(5, session=B, queues=["coder"])
        await world.claim(20, queues=["judge"])
        world.clock.advance(LEASE_MS // 2)
        assert await world.store.reclaim() == 35
        assert await world.depth("coder") == (0, 15, 0)
        assert await world.depth("judge") == (0, 20, 0)
        assert (await world.store.commit(B, acks=alive)).acks == 0

    async def test_a_session_that_comes_back_in_time_gets_nothing_taken(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        world.clock.advance(LEASE_MS + 1)
        assert await world.store.extend(A) is False
        assert await world.store.reclaim() == 0
        assert await world.store.held(A, ["coder"]) == [lease]

    async def test_a_session_that_claims_is_alive(self, world: World) -> None:
        """Its lease had run out; what it claims must not be taken in the next moment."""
        await world.put(message())
        await world.store.extend(A)
        world.clock.advance(LEASE_MS)
        lease = await world.claim_one()
        assert await world.store.reclaim() == 0
        assert (await world.store.commit(A, acks=[lease])).acks == 0

    async def test_a_reclaimed_session_may_claim_again(self, world: World) -> None:
        await world.put(message())
        await world.claim()
        world.clock.advance(LEASE_MS)
        await world.store.reclaim()
        again = await world.claim_one()
        assert (await world.store.commit(A, acks=[again])).acks == 0

    async def test_a_retired_session_is_forgotten(self, world: World) -> None:
        await world.store.extend(A)
        await world.store.retire(A)
        assert await world.store.extend(A) is False
        await world.store.retire(B)

    async def test_what_a_session_holds_when_it_retires_is_not_lost(self, world: World) -> None:
        """The answer of a claim, or of the release on shutdown, may have been lost."""
        await world.put(*messages(12))
        leases = await world.claim()
        await world.store.retire(A)
        assert await world.store.reclaim() == 12
        assert sorted(ids(await world.claim(session=B))) == sorted(ids(leases))

    async def test_settling_needs_the_lease_not_the_session(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        world.clock.advance(LEASE_MS * 3)
        await world.settle(retry(lease))
        assert await world.store.reclaim() == 0
        assert await world.depth() == (0, 1, 0)


class Expiring:
    async def test_the_next_expiry_is_that_of_the_session_renewed_longest_ago(
        self, world: World
    ) -> None:
        assert await world.store.next_expiry() is None
        await world.store.extend(A)
        world.clock.advance(4_000)
        await world.store.extend(B)
        assert await world.store.next_expiry() == timedelta(milliseconds=LEASE_MS - 4_000)
        await world.store.extend(A)
        assert await world.store.next_expiry() == timedelta(milliseconds=LEASE_MS)

    async def test_a_session_that_has_expired_is_due_until_it_is_reclaimed(
        self, world: World
    ) -> None:
        await world.store.extend(A)
        world.clock.advance(LEASE_MS + 5)
        assert await world.store.next_expiry() == timedelta(0)
        await world.store.reclaim()
        assert await world.store.next_expiry() is None


class ManySessions:
    """What takes too many calls where each partition is asked by itself."""

    async def test_many_dead_sessions_are_reclaimed_in_the_end(self, world: World) -> None:
        await world.put(*messages(110))
        for number in range(110):
            await world.claim_one(SessionId(f"worker-{number}"))
        world.clock.advance(LEASE_MS)
        reclaimed = 0
        while count := await world.store.reclaim():
            reclaimed += count
        assert reclaimed == 110
