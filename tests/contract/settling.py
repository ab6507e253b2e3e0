"""What a lane store promises about the end of a lease."""

from __future__ import annotations

from dataclasses import replace

import pytest

from octoqueue.primitives.envelope import HEADER_BYTES, Header, unpack_header
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Lease, Outcome, ResultRecord, RunTime, Settlement
from tests.contract.world import (
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


def header(lease: Lease) -> Header:
    return unpack_header(lease.payload)


class Acking:
    async def test_what_is_acked_is_gone(self, world: World) -> None:
        await world.put(*messages(12), *(message(queue="judge") for _ in range(3)))
        leases = await world.claim(queues=["coder", "judge"])
        refusals = await world.store.commit(A, acks=leases)
        assert (refusals.acks, refusals.tokens) == (0, ())
        assert await world.store.held(A, ["coder", "judge"]) == []
        assert await world.claim(queues=["coder", "judge"]) == []
        stats = await world.store.stats("coder")
        assert (stats.in_flight, stats.counters["acked"]) == (0, 12)

    async def test_a_commit_of_nothing_is_no_refusal(self, world: World) -> None:
        refusals = await world.store.commit(A)
        assert (refusals.acks, refusals.tokens) == (0, ())

    async def test_thousands_of_acks_go_in_one_commit(self, world: World) -> None:
        await world.put(*messages(3_000))
        leases = await world.claim(3_000)
        assert len(leases) == 3_000
        assert (await world.store.commit(A, acks=leases)).acks == 0
        assert (await world.store.stats("coder")).counters["acked"] == 3_000

    async def test_acks_sent_twice_are_refused_and_change_nothing(self, world: World) -> None:
        await world.put(*messages(5))
        leases = await world.claim()
        await world.store.commit(A, acks=leases[:3])
        assert (await world.store.commit(A, acks=leases)).acks == 3
        stats = await world.store.stats("coder")
        assert (stats.in_flight, stats.counters["acked"]) == (0, 5)

    async def test_a_lease_named_twice_in_one_commit_ends_once(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        again = await world.store.commit(A, acks=[lease, lease], settlements=[ack(lease)])
        assert (again.acks, again.tokens) == (1, (lease.token,))
        assert (await world.store.stats("coder")).counters["acked"] == 1

    async def test_another_session_cannot_ack(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        assert (await world.store.commit(B, acks=[lease])).acks == 1
        assert (await world.store.commit(B, settlements=[ack(lease)])).tokens == (lease.token,)
        assert (await world.store.commit(A, acks=[lease])).acks == 0

    async def test_a_late_ack_of_a_reclaimed_message_is_refused(self, world: World) -> None:
        await world.put(message())
        lost = await world.claim_one()
        world.clock.advance(20_000)
        await world.store.reclaim()
        assert (await world.store.commit(A, acks=[lost])).acks == 1
        again = await world.claim_one(B)
        assert (await world.store.commit(A, settlements=[ack(lost)])).tokens == (lost.token,)
        assert (await world.store.commit(B, acks=[again])).acks == 0

    async def test_a_late_ack_is_refused_also_when_the_same_session_claimed_it_again(
        self, world: World
    ) -> None:
        await world.put(message())
        lost = await world.claim_one()
        world.clock.advance(20_000)
        await world.store.reclaim()
        again = await world.claim_one()
        assert (await world.store.commit(A, acks=[lost])).acks == 1
        assert (await world.store.stats("coder")).in_flight == 1
        assert (await world.store.commit(A, acks=[again])).acks == 0

    async def test_running_times_are_added_up_a_queue(self, world: World) -> None:
        run = RunTime(count=2, total_us=1_500, squares_ms2=3)
        await world.put(message(), message())
        first, second = await world.claim()
        await world.store.commit(A, acks=[first], run_times={"coder": run})
        await world.store.commit(A, settlements=[ack(second)], run_times={"coder": run})
        await world.store.commit(A, run_times={"coder": run, "judge": run})
        counters = (await world.store.stats("coder")).counters
        assert [counters[name] for name in ("runs", "run_us", "run_ms2")] == [6, 4_500, 9]
        assert (await world.store.stats("judge")).counters["runs"] == 2


class Settling:
    async def test_a_retry_goes_to_the_end_of_its_lane_one_attempt_older(
        self, world: World
    ) -> None:
        first, second = neighbours(2, lane=Lane.HIGH)
        await world.put(first)
        lease = await world.claim_one()
        await world.put(second)
        world.clock.advance(100)
        await world.settle(retry(lease))
        later, again = await world.claim()
        assert ids([later, again]) == ids([second, first])
        assert header(again).attempt == 1
        assert header(again).ready_at_ms == world.clock.now_ms()
        assert again.payload[HEADER_BYTES:] == first.payload[HEADER_BYTES:]
        assert (await world.store.stats("coder")).counters["retried"] == 1

    async def test_a_delayed_retry_waits_among_the_delayed(self, world: World) -> None:
        await world.put(message(lane=Lane.HIGH))
        await world.settle(retry(await world.claim_one(), delay_ms=500))
        stats = await world.store.stats("coder")
        assert (stats.delayed, stats.in_flight, stats.waiting) == (1, 0, 0)
        world.clock.advance(500)
        assert (await world.store.promote("coder")).moved == 1
        again = await world.claim_one()
        assert (header(again).attempt, header(again).lane) == (1, Lane.HIGH)

    async def test_a_retry_forgets_the_deliveries_and_keeps_count_of_the_attempts(
        self, world: World
    ) -> None:
        await world.put(message())
        for attempt in range(3):
            await world.claim_one()
            world.clock.advance(20_000)
            await world.store.reclaim()
            lease = await world.claim_one(B)
            assert (header(lease).attempt, header(lease).deliveries) == (attempt, 1)
            await world.settle(retry(lease), session=B)

    async def test_a_dead_letter_is_kept_with_its_payload_reason_and_time(
        self, world: World
    ) -> None:
        await world.put(message('{"n":1}'))
        lease = await world.claim_one()
        world.clock.advance(7)
        await world.settle(bury(lease, b'{"error":"Poison"}'))
        (letter,) = await world.store.dead_letters("coder")
        assert (letter.message_id, letter.queue) == (lease.message_id, "coder")
        assert (letter.payload, letter.reason) == (lease.payload, b'{"error":"Poison"}')
        assert letter.died_at_ms == world.clock.now_ms()
        stats = await world.store.stats("coder")
        assert (stats.dead, stats.in_flight, stats.counters["dead"]) == (1, 0, 1)

    async def test_a_released_message_is_as_if_it_had_never_been_claimed(
        self, world: World
    ) -> None:
        await world.put(message())
        lease = await world.claim_one()
        world.clock.advance(100)
        await world.settle(release(lease))
        again = await world.claim_one(B)
        assert again.payload == lease.payload
        assert (await world.store.stats("coder")).counters["released"] == 1

    async def test_released_messages_go_back_to_the_head_in_their_order(self, world: World) -> None:
        sent = neighbours(40)
        await world.put(*sent)
        await world.settle(*(release(lease) for lease in await world.claim(30)))
        assert ids(await world.claim(40)) == ids(sent)

    async def test_a_commit_may_end_leases_in_every_way_at_once(self, world: World) -> None:
        await world.put(*messages(5))
        one, two, three, four, five = await world.claim()
        refusals = await world.store.commit(
            A,
            acks=[one],
            settlements=[ack(two), retry(three), bury(four), release(five)],
        )
        assert (refusals.acks, refusals.tokens) == (0, ())
        stats = await world.store.stats("coder")
        assert (stats.waiting, stats.dead, stats.in_flight) == (2, 1, 0)
        ended = {"acked": 2, "retried": 1, "dead": 1, "released": 1}
        assert {name: stats.counters[name] for name in ended} == ended

    async def test_of_several_settlements_only_the_stale_is_refused(self, world: World) -> None:
        await world.put(*messages(3))
        one, two, three = await world.claim()
        await world.store.commit(A, acks=[two])
        refusals = await world.store.commit(A, settlements=[retry(one), retry(two), retry(three)])
        assert refusals.tokens == (two.token,)
        assert (await world.depth()) == (0, 2, 0)


class Following:
    """What is committed together with the end of a lease, or not at all."""

    async def test_follow_ups_a_result_and_the_ack_come_together(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        children = [message(queue="judge", beside=lease.message_id) for _ in range(3)]
        later = message(queue="guardian", delay_ms=100, beside=lease.message_id)
        await world.settle(ack(lease, *children, later, result=b'{"ok":1}'))
        assert ids(await world.claim(queues=["judge"])) == ids(children)
        assert await world.store.result(lease.message_id) == b'{"ok":1}'
        guardian = await world.store.stats("guardian")
        assert (guardian.delayed, guardian.counters["enqueued"]) == (1, 1)
        assert (await world.store.stats("judge")).counters["enqueued"] == 3

    async def test_a_follow_up_is_stamped_when_its_parent_ends(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        child = message(lane=Lane.HIGH, beside=lease.message_id)
        world.clock.advance(333)
        await world.settle(ack(lease, child))
        assert header(await world.claim_one()).ready_at_ms == world.clock.now_ms()

    async def test_the_queue_of_a_follow_up_is_listed(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        await world.settle(ack(lease, message(queue="judge", beside=lease.message_id)))
        assert await world.store.queues() == ["coder", "judge"]

    async def test_a_parent_that_fails_for_good_may_still_leave_a_result_and_follow_ups(
        self, world: World
    ) -> None:
        await world.put(message())
        lease = await world.claim_one()
        ending = replace(
            bury(lease),
            result=ResultRecord(body=b'{"error":"Boom"}', ttl_ms=60_000),
            follow_ups=(message(queue="judge", beside=lease.message_id),),
        )
        await world.settle(ending)
        assert await world.store.result(lease.message_id) == b'{"error":"Boom"}'
        assert len(await world.claim(queues=["judge"])) == 1

    @pytest.mark.parametrize("outcome", list(Outcome))
    async def test_a_settlement_sent_twice_changes_nothing(
        self, world: World, outcome: Outcome
    ) -> None:
        """A commit that raised StoreUnavailable may have taken effect; it is sent again."""
        await world.put(message())
        lease = await world.claim_one()
        ending = Settlement(
            lease=lease,
            outcome=outcome,
            delay_ms=50 if outcome is Outcome.RETRY else 0,
            result=ResultRecord(body=b"once", ttl_ms=60_000),
            follow_ups=(
                message(queue="judge", beside=lease.message_id),
                message(queue="judge", delay_ms=5, beside=lease.message_id),
            ),
        )
        await world.settle(ending)
        before = [await world.store.stats(queue) for queue in ("coder", "judge")]
        changed = replace(ending, result=ResultRecord(body=b"twice", ttl_ms=60_000))
        for again in (ending, changed):
            refusals = await world.store.commit(A, settlements=[again])
            assert refusals.tokens == (lease.token,)
        assert [await world.store.stats(queue) for queue in ("coder", "judge")] == before
        assert await world.store.result(lease.message_id) == b"once"

    async def test_nothing_of_a_refused_settlement_is_kept(self, world: World) -> None:
        await world.put(message())
        lost = await world.claim_one()
        world.clock.advance(20_000)
        await world.store.reclaim()
        child = message(queue="judge", beside=lost.message_id)
        refusals = await world.store.commit(A, settlements=[ack(lost, child, result=b"late")])
        assert refusals.tokens == (lost.token,)
        assert await world.store.result(lost.message_id) is None
        assert (await world.store.stats("judge")).counters == {}

    async def test_a_result_without_time_to_live_costs_nothing_else(self, world: World) -> None:
        """It once failed the script after the lease was gone: follow-ups were lost."""
        await world.put(message())
        lease = await world.claim_one()
        child = message(queue="judge", beside=lease.message_id)
        record = ResultRecord(body=b"gone", ttl_ms=0)
        await world.settle(replace(ack(lease, child), result=record))
        assert await world.store.result(lease.message_id) is None
        assert ids(await world.claim(queues=["judge"])) == [child.message_id]
