"""Gates: tenants take turns, caps and rate limits hold up what they must and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.primitives.gates import Aging, Gates, TenantShare
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Outcome, Settlement
from tests.contract.gated import gated, per_second, served, tenants, used, uses
from tests.contract.world import (
    AT_ONCE,
    LEASE_MS,
    ONE_PARTITION,
    A,
    B,
    ack,
    bury,
    ids,
    lanes,
    message,
    messages,
    release,
    retry,
)

if TYPE_CHECKING:
    from octoqueue.primitives.messages import Lease
    from tests.contract.world import MakesStores, World

ONE_AT_A_TIME = Gates(caps={"one": 1})
TWO_EACH = Gates(tenants={"": TenantShare(concurrency=2)})


class Gated:
    """In one partition, where every cap and limit is exact in every store."""

    @pytest.fixture
    async def one(self, make: MakesStores) -> World:
        return await make(ONE_PARTITION)


class TakingTurns(Gated):
    async def test_tenants_take_turns_however_much_one_sends(self, one: World) -> None:
        await one.put(*(gated("acme") for _ in range(9)), *(gated("small") for _ in range(3)))
        leases = await one.claim(6)
        assert served(leases) == {"acme": 3, "small": 3}
        assert served(await one.claim(6)) == {"acme": 6}

    async def test_turns_go_on_from_claim_to_claim(self, one: World) -> None:
        await one.put(*(gated(name) for name in "aabbcc"))
        names = [tenants(await one.claim(1))[0] for _ in range(6)]
        assert set(names[:3]) == set(names[3:]) == set("abc")

    async def test_a_tenant_of_twice_the_weight_has_twice_the_turns(self, one: World) -> None:
        await one.store.define(Gates(tenants={"big": TenantShare(weight=2)}))
        await one.put(*(gated(name) for name in ("big", "small") for _ in range(12)))
        assert served(await one.claim(12)) == {"big": 8, "small": 4}

    async def test_who_was_away_has_no_arrears_to_claim(self, one: World) -> None:
        await one.put(*(gated("busy") for _ in range(10)))
        await one.claim(6)
        await one.put(*(gated("new") for _ in range(10)))
        assert served(await one.claim(4)) == {"busy": 2, "new": 2}

    async def test_messages_without_a_tenant_take_part_as_one(self, one: World) -> None:
        await one.put(*messages(6), *(gated("acme") for _ in range(6)))
        assert served(await one.claim(4)) == {"": 2, "acme": 2}
        assert served(await one.claim(8)) == {"": 4, "acme": 4}

    async def test_one_tenant_stays_in_order(self, one: World) -> None:
        sent = []
        for _ in range(5):
            sent.append(gated("acme"))
            await one.put(sent[-1])
            one.clock.advance(1)
        assert ids(await one.claim()) == ids(sent)

    async def test_lanes_come_before_turns(self, one: World) -> None:
        await one.put(*(gated("a", lane=lane) for lane in (Lane.LOW, Lane.NORMAL, Lane.HIGH)))
        await one.put(*(gated("b", lane=Lane.HIGH) for _ in range(3)), message(lane=Lane.NORMAL))
        assert lanes(await one.claim()) == sorted([Lane.HIGH] * 4 + [Lane.NORMAL] * 2 + [Lane.LOW])

    async def test_what_is_released_comes_back_to_its_place(self, one: World) -> None:
        first = gated("acme")
        await one.put(first)
        one.clock.advance(1)
        await one.put(gated("acme"))
        lease = await one.claim_one()
        await one.settle(release(lease))
        assert ids([await one.claim_one()]) == ids([first])

    async def test_they_count_as_waiting_and_have_an_age(self, one: World) -> None:
        await one.put(gated("acme"), gated("other", lane=Lane.LOW), message())
        one.clock.advance(3_000)
        assert await one.depth() == (0, 2, 1)
        assert (await one.store.stats("coder")).oldest_age_seconds == 3

    async def test_they_count_for_the_bound_of_their_lane(self, one: World) -> None:
        await one.put(gated("a", queue="narrow"), message(queue="narrow"))
        extra = [gated("b", queue="narrow"), gated("b", queue="narrow")]
        (refusal,) = await one.store.enqueue([extra])
        assert refusal is not None
        await one.put(extra[0])
        (refusal,) = await one.store.enqueue([[message(queue="narrow")]])
        assert refusal is not None

    async def test_a_flush_drops_them(self, one: World) -> None:
        await one.put(*(gated("acme") for _ in range(3)))
        await one.store.flush("coder")
        assert await one.claim() == []
        assert await one.depth() == (0, 0, 0)

    async def test_a_delayed_one_waits_in_its_line_when_it_is_due(self, one: World) -> None:
        await one.put(gated("acme", delay_ms=100))
        assert await one.claim() == []
        one.clock.advance(100)
        assert (await one.store.promote("coder")).moved == 1
        assert tenants(await one.claim()) == ["acme"]

    async def test_a_replayed_one_waits_in_its_line(self, one: World) -> None:
        await one.put(gated("acme"))
        lease = await one.claim_one()
        await one.settle(bury(lease))
        assert await one.store.replay("coder", [lease.message_id]) == [lease.message_id]
        assert tenants(await one.claim()) == ["acme"]

    async def test_one_that_was_sent_twice_is_leased_once_a_claim(self, one: World) -> None:
        sent = gated("acme", body="a")
        await one.put(sent)
        one.clock.advance(1)
        await one.put(sent._replace(payload=sent.payload + b" "))
        assert len(await one.claim()) == 1
        assert len(await one.claim()) == 1
        assert await one.claim() == []


def ending(outcome: Outcome, lease: Lease) -> Settlement:
    return Settlement(lease=lease, outcome=outcome, delay_ms=60_000, reason=b"{}")


class Capping(Gated):
    async def test_a_tenant_runs_no_more_than_its_concurrency(self, one: World) -> None:
        await one.store.define(TWO_EACH)
        await one.put(*(gated("acme") for _ in range(5)))
        leases = await one.claim()
        assert len(leases) == 2
        assert await one.claim(session=B) == []
        await one.settle(ack(leases[0]))
        assert len(await one.claim(session=B)) == 1

    async def test_a_cap_holds_up_nobody_else(self, one: World) -> None:
        await one.store.define(TWO_EACH)
        await one.put(*(gated("acme", lane=Lane.HIGH) for _ in range(5)))
        await one.put(gated("other"), message(lane=Lane.LOW))
        assert len(await one.claim(10)) == 4

    async def test_a_cap_spans_lanes_and_tenants(self, one: World) -> None:
        await one.store.define(ONE_AT_A_TIME)
        await one.put(*(gated(name, caps=("one",)) for name in ("a", "b")))
        await one.put(gated(caps=("one",), lane=Lane.HIGH))
        first, second, third = [await self.next_of(one) for _ in range(3)]
        assert lanes([first]) == [Lane.HIGH]
        assert served([second, third]) == {"a": 1, "b": 1}

    async def next_of(self, one: World) -> Lease:
        (lease,) = await one.claim()
        assert await one.claim() == []
        await one.settle(ack(lease))
        return lease

    @pytest.mark.parametrize("outcome", list(Outcome))
    async def test_every_way_a_message_ends_frees_its_slot(
        self, one: World, outcome: Outcome
    ) -> None:
        await one.store.define(ONE_AT_A_TIME)
        await one.put(*(gated(name, caps=("one",)) for name in ("a", "b")))
        (lease,) = await one.claim()
        await one.settle(ending(outcome, lease))
        assert len(await one.claim()) == 1

    async def test_a_plain_ack_frees_its_slot(self, one: World) -> None:
        await one.store.define(ONE_AT_A_TIME)
        await one.put(*(gated(caps=("one",)) for _ in range(2)))
        await one.store.commit(A, acks=await one.claim())
        assert len(await one.claim()) == 1

    async def test_a_lost_worker_frees_its_slots(self, one: World) -> None:
        await one.store.define(ONE_AT_A_TIME)
        await one.put(*(gated(name, caps=("one",)) for name in ("a", "b")))
        await one.claim()
        one.clock.advance(LEASE_MS)
        await one.store.extend(B)
        assert await one.store.reclaim() == 1
        assert len(await one.claim(session=B)) == 1
        assert await one.claim(session=B) == []

    async def test_an_ending_that_came_too_late_frees_nothing(self, one: World) -> None:
        await one.store.define(ONE_AT_A_TIME)
        await one.put(*(gated(name, caps=("one",)) for name in ("a", "b")))
        (lease,) = await one.claim()
        one.clock.advance(LEASE_MS)
        await one.store.reclaim()
        await one.claim(session=B)
        await one.store.commit(A, settlements=[ack(lease)])
        await one.store.commit(A, acks=[lease])
        assert await one.claim(session=B) == []

    async def test_who_frees_a_slot_wakes_who_waits_for_it(self, one: World) -> None:
        await one.store.define(ONE_AT_A_TIME)
        await one.put(*(gated(name, caps=("one",)) for name in ("a", "b")))
        (lease,) = await one.claim()
        await one.claim(session=B)
        await one.store.wait_for_bell(["coder"], timeout=AT_ONCE)
        await one.settle(ack(lease))
        assert await one.store.wait_for_bell(["coder"], timeout=AT_ONCE)

    async def test_a_wider_cap_counts_for_what_waits_already(self, one: World) -> None:
        await one.store.define(ONE_AT_A_TIME)
        await one.put(*(gated(name, caps=("one",)) for name in "abcd"))
        assert len(await one.claim()) == 1
        assert await one.claim() == []
        await one.store.define(Gates(caps={"one": 3}))
        assert len(await one.claim()) == 2

    async def test_a_narrower_cap_waits_until_enough_have_ended(self, one: World) -> None:
        await one.store.define(Gates(caps={"one": 3}))
        await one.put(*(gated(caps=("one",)) for _ in range(6)))
        leases = await one.claim()
        await one.store.define(ONE_AT_A_TIME)
        for lease in leases[:2]:
            await one.settle(ack(lease))
            assert await one.claim() == []
        await one.settle(ack(leases[2]))
        assert len(await one.claim()) == 1

    async def test_a_cap_that_is_defined_later_counts_what_runs(self, one: World) -> None:
        await one.put(*(gated(caps=("one",)) for _ in range(4)))
        await one.claim(2)
        await one.store.define(Gates(caps={"one": 2}))
        assert await one.claim() == []

    async def test_a_tenant_that_is_named_no_more_has_the_default_again(self, one: World) -> None:
        await one.store.define(Gates(tenants={"acme": TenantShare(concurrency=1)}))
        await one.put(*(gated("acme") for _ in range(4)))
        await one.claim()
        assert await one.claim() == []
        await one.store.define(Gates())
        assert len(await one.claim()) == 3

    async def test_a_new_session_changes_no_definition(self, one: World) -> None:
        await one.store.define(ONE_AT_A_TIME)
        one.clock.advance(LEASE_MS)
        await one.store.extend(A)
        await one.put(*(gated(caps=("one",)) for _ in range(2)))
        assert len(await one.claim()) == 1

    async def test_two_that_wait_for_several_caps_are_not_forgotten(self, one: World) -> None:
        await one.store.define(Gates(caps={"x": 1, "y": 1}))
        await one.put(gated(caps=("x", "y")), gated(caps=("y",)), gated(caps=("x",)))
        done = 0
        while done < 3:
            leases = await one.claim()
            assert leases
            done += len(leases)
            for lease in leases:
                await one.settle(ack(lease))


class CappingQueues(Gated):
    async def test_a_queue_runs_no_more_than_its_cap(self, one: World) -> None:
        await one.store.define(Gates(queue_caps={"coder": 2}))
        await one.put(*messages(3), gated("acme"), message(queue="judge"))
        leases = await one.claim(queues=["coder", "judge"])
        assert sorted(lease.queue for lease in leases) == ["coder", "coder", "judge"]
        assert await one.claim(session=B) == []
        await one.store.commit(A, acks=[lease for lease in leases if lease.queue == "coder"])
        assert len(await one.claim(session=B)) == 2

    async def test_a_queue_without_a_cap_any_more_runs_all(self, one: World) -> None:
        await one.store.define(Gates(queue_caps={"coder": 1}))
        await one.put(*messages(3))
        assert len(await one.claim()) == 1
        await one.store.define(Gates())
        assert len(await one.claim()) == 2

    async def test_a_full_queue_rings_for_nobody(self, one: World) -> None:
        await one.store.define(Gates(queue_caps={"coder": 1}))
        await one.put(*messages(3))
        assert await one.store.wait_for_bell(["coder"], timeout=AT_ONCE)
        assert len(await one.claim(1)) == 1
        assert not await one.store.wait_for_bell(["coder"], timeout=AT_ONCE)

    async def test_the_words_of_a_queue_are_no_counters(self, one: World) -> None:
        await one.store.define(Gates(queue_caps={"coder": 1}))
        await one.put(message())
        assert (await one.store.stats("coder")).counters == {"enqueued": 1}


class Limiting(Gated):
    async def test_a_burst_runs_at_once_and_the_rest_at_the_rate(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(10, burst=3)}))
        await one.put(*(gated(limits=uses()) for _ in range(5)))
        assert len(await one.claim()) == 3
        one.clock.advance(99)
        assert await one.claim() == []
        one.clock.advance(1)
        assert len(await one.claim()) == 1
        one.clock.advance(100)
        assert len(await one.claim()) == 1

    async def test_promote_says_when_a_limit_opens(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(10, burst=1)}))
        await one.put(*(gated(limits=uses()) for _ in range(2)))
        await one.claim()
        assert (await one.store.promote("coder")).next_due == timedelta(milliseconds=100)
        await one.store.wait_for_bell(["coder"], timeout=AT_ONCE)
        one.clock.advance(100)
        await one.store.promote("coder")
        assert await one.store.wait_for_bell(["coder"], timeout=AT_ONCE)
        assert len(await one.claim()) == 1

    async def test_a_tenant_of_many_lines_is_served_in_a_few_claims(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(1, burst=1)}))
        await one.put(*(gated(limits=uses(key=f"k{number}")) for number in range(400)))
        counts = [len(await one.claim(400)) for _ in range(5)]
        assert sum(counts) == 400

    async def test_who_is_held_up_by_a_message_that_is_cancelled_hears_the_bell(
        self, one: World
    ) -> None:
        await one.store.define(Gates(limits={"openai": per_second(1, burst=4)}))
        await one.put(gated(limits=uses(2)))
        await one.claim()
        large = gated("acme", limits=uses(4))
        await one.put(large)
        assert await one.claim() == []
        await one.put(gated("zoo", limits=uses(1), lane=Lane.LOW))
        assert await one.claim() == []  # nobody overtakes
        await one.store.wait_for_bell(["coder"], timeout=AT_ONCE)
        await one.store.cancel(large.message_id)
        assert await one.store.wait_for_bell(["coder"], timeout=AT_ONCE)
        assert tenants(await one.claim()) == ["zoo"]

    async def test_who_may_go_on_by_a_new_definition_hears_the_bell(self, one: World) -> None:
        await one.store.define(Gates(caps={"one": 1}))
        await one.put(*(gated(caps=("one",)) for _ in range(2)))
        assert len(await one.claim()) == 1
        await one.store.wait_for_bell(["coder"], timeout=AT_ONCE)
        await one.store.define(Gates(caps={"one": 2}))
        assert await one.store.wait_for_bell(["coder"], timeout=AT_ONCE)

    async def test_a_limit_holds_up_nobody_else(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(1, burst=1)}))
        await one.put(*(gated("acme", limits=uses(), lane=Lane.HIGH) for _ in range(3)))
        await one.put(gated("acme"), message(lane=Lane.LOW))
        assert len(await one.claim()) == 3

    async def test_a_message_costs_its_units(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(100, burst=100)}))
        await one.put(*(gated(limits=uses(60)) for _ in range(3)))
        assert len(await one.claim()) == 1
        one.clock.advance(199)
        assert await one.claim() == []
        one.clock.advance(1)
        assert len(await one.claim()) == 1

    async def test_each_key_has_a_limit_of_its_own(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(1, burst=1)}))
        await one.put(*(gated(limits=uses(key=key)) for key in "aabb"))
        assert len(await one.claim()) == 2

    async def test_several_limits_hold_all_at_once(self, one: World) -> None:
        limits = {"openai": per_second(10, burst=1), "slow": per_second(1, burst=1)}
        await one.store.define(Gates(limits=limits))
        both = uses() + uses(name="slow")
        await one.put(*(gated(limits=both) for _ in range(2)), gated(limits=uses()))
        assert len(await one.claim()) == 1
        one.clock.advance(100)
        assert len(await one.claim()) == 1
        one.clock.advance(899)
        assert await one.claim() == []
        one.clock.advance(1)
        assert len(await one.claim()) == 1

    async def test_what_was_not_used_is_given_back(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(100, burst=100)}))
        await one.put(*(gated(limits=uses(100)) for _ in range(2)))
        (lease,) = await one.claim()
        await one.settle(used(lease, 20))
        one.clock.advance(199)
        assert await one.claim() == []
        one.clock.advance(1)
        assert len(await one.claim()) == 1

    async def test_what_was_used_beyond_is_a_debt(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(100, burst=100)}))
        await one.put(*(gated(limits=uses(50)) for _ in range(2)))
        (first, second) = await one.claim()
        await one.settle(used(first, 150))
        await one.settle(ack(second))
        await one.put(gated(limits=uses(50)))
        one.clock.advance(1_499)
        assert await one.claim() == []
        one.clock.advance(1)
        assert len(await one.claim()) == 1

    async def test_an_ack_without_a_word_has_used_it_all(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(1, burst=1)}))
        await one.put(*(gated(limits=uses()) for _ in range(2)))
        (lease,) = await one.claim()
        await one.settle(ack(lease))
        assert await one.claim() == []

    @pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.ACK])
    async def test_any_other_end_gives_all_of_it_back(self, one: World, outcome: Outcome) -> None:
        await one.store.define(Gates(limits={"openai": per_second(1, burst=1)}))
        await one.put(*(gated(name, limits=uses()) for name in ("a", "b")))
        (lease,) = await one.claim()
        await one.claim()
        await one.settle(ending(outcome, lease))
        assert len(await one.claim()) == 1

    async def test_a_failure_that_used_something_pays_for_it(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(1, burst=1)}))
        await one.put(gated(limits=uses()))
        (lease,) = await one.claim()
        await one.settle(used(lease, 1, like=retry(lease)))
        assert await one.claim() == []

    async def test_a_lost_worker_gives_back_what_it_reserved(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(0.01, burst=1)}))
        await one.put(*(gated(limits=uses()) for _ in range(2)))
        await one.claim()
        one.clock.advance(LEASE_MS)
        await one.store.reclaim()
        assert len(await one.claim(session=B)) == 1

    async def test_units_over_a_smaller_burst_wait_for_a_full_one(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(10, burst=2)}))
        await one.put(gated(limits=uses()))
        await one.claim()
        large = gated(limits=uses(5))
        await one.put(large)
        one.clock.advance(99)
        assert await one.claim() == []
        await one.put(gated(limits=uses()))
        one.clock.advance(1)
        assert ids(await one.claim()) == ids([large])
        one.clock.advance(399)
        assert await one.claim() == []
        one.clock.advance(1)
        assert len(await one.claim()) == 1

    async def test_a_limit_nobody_defined_is_open(self, one: World) -> None:
        await one.put(*(gated(limits=uses(1_000)) for _ in range(3)))
        leases = await one.claim()
        assert len(leases) == 3
        await one.settle(*(used(lease, 5) for lease in leases))

    async def test_a_faster_limit_counts_for_what_waits_already(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(0.01, burst=1)}))
        await one.put(*(gated(limits=uses()) for _ in range(3)))
        assert len(await one.claim()) == 1
        assert await one.claim() == []
        await one.store.define(Gates(limits={"openai": per_second(0.01, burst=1_000_000)}))
        assert len(await one.claim()) == 2

    async def test_many_small_ones_do_not_starve_a_large_one(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(10, burst=10)}))
        await one.put(gated("filler", limits=uses(10)))
        await one.claim()
        await one.put(gated("large", limits=uses(10)))
        await one.claim()
        order: list[str] = []
        for _ in range(10):
            await one.put(gated("small", limits=uses()))
            one.clock.advance(100)
            order += tenants(await one.claim())
        assert order == ["large"]

    async def test_ended_messages_leave_nothing_behind_in_a_limit(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(10, burst=10)}))
        for _ in range(3):
            await one.put(gated(limits=uses(10)))
            (lease,) = await one.claim()
            await one.settle(retry(lease, delay_ms=60_000))
        assert (await one.store.stats("coder")).delayed == 3


class GrowingOld(Gated):
    @pytest.fixture
    async def aging(self, make: MakesStores) -> World:
        times = Aging(normal=timedelta(seconds=20), low=timedelta(seconds=10))
        return await make(replace(ONE_PARTITION, aging=times))

    async def test_old_messages_move_up_lane_by_lane(self, aging: World) -> None:
        await aging.put(message(lane=Lane.LOW), gated("a", lane=Lane.LOW), gated("b"))
        aging.clock.advance(9_999)
        await aging.store.promote("coder")
        assert await aging.depth() == (0, 1, 2)
        aging.clock.advance(1)
        await aging.store.promote("coder")
        assert await aging.depth() == (0, 3, 0)
        aging.clock.advance(10_000)
        await aging.store.promote("coder")
        assert await aging.depth() == (3, 0, 0)
        assert len(await aging.claim()) == 3

    async def test_a_retry_goes_back_to_its_own_lane(self, aging: World) -> None:
        await aging.put(gated("a", lane=Lane.LOW), message(lane=Lane.LOW))
        aging.clock.advance(10_000)
        await aging.store.promote("coder")
        leases = await aging.claim()
        await aging.settle(*(retry(lease) for lease in leases))
        assert await aging.depth() == (0, 0, 2)

    async def test_without_a_time_nothing_moves(self, one: World) -> None:
        await one.put(message(lane=Lane.LOW))
        one.clock.advance(1_000_000)
        await one.store.promote("coder")
        assert await one.depth() == (0, 0, 1)
