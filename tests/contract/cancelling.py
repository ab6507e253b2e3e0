"""What a lane store promises about cancelling, finding and moving single messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest

from octoqueue.errors import LaneFull, NotWaiting
from octoqueue.lanes.answers import CancelOutcome
from octoqueue.lanes.finding import Cause, State
from octoqueue.primitives.envelope import Flag, Header, pack_header, unpack_header
from octoqueue.primitives.extension import Extension, pack_extension
from octoqueue.primitives.gates import Gates, TenantShare
from octoqueue.primitives.ids import MessageId, affinity_of_name, new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue, Lease, Outcome, Settlement
from tests.contract.unique import is_taken, unique
from tests.contract.world import (
    AT_ONCE,
    LEASE_MS,
    ONE_PARTITION,
    SOON,
    A,
    B,
    MakesStores,
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

if TYPE_CHECKING:
    from collections.abc import Callable

REMOVED, STOPPING = CancelOutcome.REMOVED, CancelOutcome.STOPPING
DAY_MS = 86_400_000


def of_tenant(tenant: str = "acme", *, lane: Lane = Lane.NORMAL) -> Enqueue:
    ident = new_message_id(beside=MessageId(affinity_of_name(tenant)))
    header = Header(lane=lane, flags=Flag.KEEP_RESULT | Flag.EXTENDED, message_id=ident)
    payload = pack_header(header) + pack_extension(Extension(tenant=tenant)) + b"{}"
    return Enqueue(queue="coder", lane=lane, payload=payload)


async def told(world: World, sent: Enqueue) -> dict[str, str]:
    """The result of a cancelled message."""
    body = await world.store.result(sent.message_id)
    assert body is not None
    found: dict[str, str] = orjson.loads(body)
    return found


class Cancelling:
    @pytest.mark.parametrize("lane", Lane)
    async def test_a_waiting_message_is_gone_with_its_reason(
        self, world: World, lane: Lane
    ) -> None:
        sent, other = message(lane=lane), message(lane=lane)
        await world.put(sent, other)
        assert await world.store.cancel(sent.message_id, "no need") is REMOVED
        assert await told(world, sent) == {"error": "Cancelled", "message": "no need"}
        assert ids(await world.claim()) == [other.message_id]
        stats = await world.store.stats("coder")
        assert (stats.counters["withdrawn"], stats.in_flight, stats.waiting) == (1, 1, 0)
        assert await world.store.cancelled([sent.message_id, other.message_id]) == {}

    async def test_a_delayed_message_never_becomes_due(self, world: World) -> None:
        sent = message(delay_ms=100)
        await world.put(sent)
        assert await world.store.cancel(sent.message_id) is REMOVED
        world.clock.advance(100)
        assert (await world.store.promote("coder")).moved == 0
        assert await world.claim() == []
        assert (await world.store.stats("coder")).delayed == 0

    async def test_a_message_in_a_line_is_gone_and_holds_nobody_up(self, world: World) -> None:
        sent, other = of_tenant(), of_tenant()
        await world.put(sent, other)
        assert await world.store.cancel(sent.message_id) is REMOVED
        assert ids(await world.claim()) == [other.message_id]
        assert (await world.store.stats("coder")).waiting == 0

    async def test_who_waits_for_its_result_is_told(self, world: World) -> None:
        sent = message()
        await world.put(sent)
        waiting = asyncio.create_task(world.store.wait_for_result(sent.message_id, timeout=SOON))
        await asyncio.sleep(0)
        await world.store.cancel(sent.message_id, "enough")
        body = await waiting
        assert body is not None
        assert orjson.loads(body)["message"] == "enough"

    async def test_its_key_is_free(self, world: World) -> None:
        sent = unique()
        await world.put(sent)
        assert await world.store.cancel(sent.message_id) is REMOVED
        assert await is_taken(world) is None

    async def test_with_the_queue_it_is_looked_for_there_only(self, world: World) -> None:
        sent = message()
        await world.put(sent, message(queue="judge"))
        outcome = await world.store.cancel(sent.message_id, queue="judge")
        assert outcome is CancelOutcome.UNKNOWN
        assert await world.store.cancel(sent.message_id, queue="coder") is REMOVED

    async def test_what_is_unknown_finished_or_dead_is_said_to_be(self, world: World) -> None:
        known = message()
        await world.put(known)
        assert await world.store.cancel(new_message_id()) is CancelOutcome.UNKNOWN
        await world.settle(ack(await world.claim_one(), result=b"1"))
        assert await world.store.cancel(known.message_id) is CancelOutcome.FINISHED
        assert await world.store.result(known.message_id) == b"1"
        dead = message()
        await world.put(dead)
        await world.settle(bury(await world.claim_one()))
        assert await world.store.cancel(dead.message_id) is CancelOutcome.DEAD
        assert await world.store.cancelled([known.message_id, dead.message_id]) == {}
        assert await world.store.replay("coder", [dead.message_id]) == [dead.message_id]
        assert ids(await world.claim()) == [dead.message_id]

    async def test_a_message_among_very_many_is_found(self, make: MakesStores) -> None:
        world = await make(ONE_PARTITION)
        sent = neighbours(700)
        await world.store.enqueue([sent])
        for each in (sent[0], sent[350], sent[-1]):
            assert await world.store.cancel(each.message_id) is REMOVED
        assert len(await world.claim(1_000)) == 697


class CancellingWhatRuns:
    async def test_its_worker_is_told_and_ends_it(self, world: World) -> None:
        sent = message()
        await world.put(sent)
        lease = await world.claim_one()
        assert await world.store.cancel(sent.message_id, "stop it") is STOPPING
        other = new_message_id()
        assert await world.store.cancelled([other, sent.message_id]) == {sent.message_id: "stop it"}
        await world.settle(Settlement(lease=lease, outcome=Outcome.CANCEL))
        assert await told(world, sent) == {"error": "Cancelled", "message": "stop it"}
        assert await world.store.cancelled([sent.message_id]) == {}
        stats = await world.store.stats("coder")
        assert (stats.counters["cancelled"], stats.in_flight, stats.waiting) == (1, 0, 0)

    async def test_a_worker_that_waits_for_it_is_woken(self, world: World) -> None:
        first, sent = messages(2)
        await world.put(first, sent)
        await world.claim(2)
        # The first word may be that somebody listens now: however long that takes, it is told.
        listening = asyncio.create_task(world.store.wait_for_cancel(["coder"], timeout=SOON))
        assert await world.store.cancel(first.message_id) is STOPPING
        assert await listening
        while await world.store.wait_for_cancel(["coder"], timeout=AT_ONCE):
            pass
        waiting = asyncio.create_task(world.store.wait_for_cancel(["coder"], timeout=SOON))
        await asyncio.sleep(0)
        assert await world.store.cancel(sent.message_id) is STOPPING
        assert await waiting
        assert not await world.store.wait_for_cancel(["coder"], timeout=AT_ONCE)

    @pytest.mark.parametrize("again", [retry, release])
    async def test_it_never_waits_again(
        self, world: World, again: Callable[[Lease], Settlement]
    ) -> None:
        sent = unique()
        await world.put(sent)
        lease = await world.claim_one()
        await world.store.cancel(sent.message_id, "late")
        await world.settle(again(lease))
        assert await world.claim() == []
        assert (await told(world, sent))["message"] == "late"
        assert await is_taken(world) is None
        assert (await world.store.stats("coder")).in_flight == 0

    async def test_a_snooze_of_it_is_its_end(self, world: World) -> None:
        sent = message()
        await world.put(sent)
        lease = await world.claim_one()
        await world.store.cancel(sent.message_id)
        await world.settle(Settlement(lease=lease, outcome=Outcome.SNOOZE, delay_ms=5))
        assert (await world.store.stats("coder")).delayed == 0

    async def test_what_ends_well_all_the_same_has_ended_well(self, world: World) -> None:
        sent = message()
        await world.put(sent)
        lease = await world.claim_one()
        assert await world.store.cancel(sent.message_id) is STOPPING
        await world.settle(ack(lease, result=b"7"))
        assert await world.store.result(sent.message_id) == b"7"
        assert await world.store.cancelled([sent.message_id]) == {}
        assert await world.store.cancel(sent.message_id) is CancelOutcome.FINISHED

    async def test_a_plain_ack_forgets_that_it_was_cancelled(self, world: World) -> None:
        sent = message()
        await world.put(sent)
        lease = await world.claim_one()
        await world.store.cancel(sent.message_id)
        assert (await world.store.commit(A, acks=[lease])).acks == 0
        assert await world.store.cancelled([sent.message_id]) == {}

    async def test_after_the_loss_of_its_worker_nobody_starts_it(self, world: World) -> None:
        sent, other = unique(), message()
        await world.put(sent)
        await world.claim_one()
        assert await world.store.cancel(sent.message_id, "gone") is STOPPING
        world.clock.advance(LEASE_MS)
        assert await world.store.reclaim() == 1
        assert (await world.store.find(sent.message_id)).cancelled == "gone"
        await world.put(other)
        assert ids(await world.claim(1, session=B)) in ([], [other.message_id])
        await world.claim(10, session=B)
        stats = await world.store.stats("coder")
        assert (stats.counters["cancelled"], stats.waiting, stats.in_flight) == (1, 0, 1)
        assert (await told(world, sent))["message"] == "gone"
        assert await is_taken(world) is None

    async def test_of_a_cancelled_message_with_gates_the_gates_are_given_back(
        self, world: World
    ) -> None:
        await world.store.define(Gates(tenants={"acme": TenantShare(concurrency=1)}))
        sent = of_tenant()
        await world.put(sent)
        await world.claim_one()
        await world.store.cancel(sent.message_id)
        world.clock.advance(LEASE_MS)
        await world.store.reclaim()
        assert await world.claim(session=B) == []
        other = of_tenant()
        await world.put(other)
        assert ids(await world.claim(session=B)) == [other.message_id]

    async def test_a_tombstone_that_nobody_needs_is_forgotten_after_a_day(
        self, world: World
    ) -> None:
        sent = message()
        await world.put(sent)
        await world.claim_one()
        await world.store.cancel(sent.message_id)
        world.clock.advance(DAY_MS)
        await world.store.reclaim()
        assert await world.store.cancelled([sent.message_id]) == {}


class Finding:
    async def test_a_waiting_message_is_in_its_lane_with_so_many_before_it(
        self, world: World
    ) -> None:
        sent = neighbours(4, lane=Lane.LOW)
        await world.put(*sent)
        for number, each in enumerate(sent):
            where = await world.store.find(each.message_id)
            assert (where.state, where.queue, where.lane) == (State.WAITING, "coder", Lane.LOW)
            assert where.position == number
            assert where.payload is not None
            assert where.payload.endswith(b"%d" % number)

    async def test_a_delayed_message_is_due(self, world: World) -> None:
        sent = message(delay_ms=250)
        await world.put(sent)
        where = await world.store.find(sent.message_id)
        assert (where.state, where.due_at_ms) == (State.DELAYED, world.clock.now_ms() + 250)

    async def test_a_running_message_has_a_worker(self, world: World) -> None:
        plain, gated = message(), of_tenant()
        await world.put(plain, gated)
        await world.claim()
        for each in (plain, gated):
            where = await world.store.find(each.message_id, queue="coder")
            assert (where.state, where.session) == (State.RUNNING, A)
            assert where.lease_expires_at_ms == world.clock.now_ms() + LEASE_MS

    async def test_what_has_ended_is_dead_finished_or_unknown(self, world: World) -> None:
        dead, kept, gone = messages(3)
        await world.put(dead, kept, gone)
        for lease in await world.claim():
            end = {dead.message_id: bury(lease), kept.message_id: ack(lease, result=b"1")}
            await world.settle(end.get(lease.message_id, ack(lease)))
        found = [await world.store.find(each) for each in ids([dead, kept, gone])]
        assert [where.state for where in found] == [State.DEAD, State.FINISHED, State.UNKNOWN]
        assert found[0].died_at_ms == world.clock.now_ms()

    async def test_every_reason_is_told(self, world: World) -> None:
        await world.store.define(
            Gates(tenants={"acme": TenantShare(concurrency=1)}, queue_caps={"coder": 10})
        )
        await world.store.extend(A)
        sent = of_tenant()
        await world.put(of_tenant())
        await world.claim_one()
        await world.put(sent, *neighbours(2, lane=Lane.HIGH), message())
        explained = await world.store.explain(sent.message_id)
        assert explained.causes == (Cause.CAP, Cause.AHEAD, Cause.AHEAD)
        assert "tenant acme is full: 1 of 1" in explained.reasons[0].text
        await world.store.pause("coder")
        assert (await world.store.explain(sent.message_id)).causes[0] is Cause.PAUSED
        world.clock.advance(LEASE_MS)
        assert Cause.NO_WORKER in (await world.store.explain(sent.message_id)).causes

    async def test_a_message_with_nothing_in_its_way_is_next(self, world: World) -> None:
        await world.store.extend(A)
        sent, later = message(), message(delay_ms=1_000)
        await world.put(sent, later)
        assert (await world.store.explain(sent.message_id)).causes == (Cause.NEXT,)
        assert (await world.store.explain(later.message_id)).causes == (Cause.DELAYED,)
        await world.claim()
        assert (await world.store.explain(sent.message_id)).causes == (Cause.RUNNING,)
        world.clock.advance(LEASE_MS)
        assert (await world.store.explain(sent.message_id)).causes == (Cause.LEASE_EXPIRED,)


class Moving:
    async def test_a_waiting_message_goes_to_the_tail_of_another_lane(self, world: World) -> None:
        first, second = neighbours(2)
        urgent = message(lane=Lane.HIGH, beside=first.message_id)
        await world.put(first, second, urgent)
        where = await world.store.move(second.message_id, Lane.HIGH)
        assert (where.state, where.lane, where.position) == (State.WAITING, Lane.HIGH, 1)
        assert ids(await world.claim()) == ids([urgent, second, first])
        assert (await world.store.stats("coder")).counters["moved"] == 1

    async def test_its_retries_stay_in_the_new_lane(self, world: World) -> None:
        sent = message(lane=Lane.LOW)
        await world.put(sent)
        await world.store.move(sent.message_id, Lane.HIGH)
        await world.settle(retry(await world.claim_one()))
        assert await world.depth() == (1, 0, 0)

    async def test_a_delayed_message_becomes_due_in_the_new_lane(self, world: World) -> None:
        sent = message(lane=Lane.LOW, delay_ms=50)
        await world.put(sent)
        where = await world.store.move(sent.message_id, Lane.HIGH)
        assert (where.state, where.lane) == (State.DELAYED, Lane.HIGH)
        world.clock.advance(50)
        await world.store.promote("coder")
        assert await world.depth() == (1, 0, 0)

    async def test_a_message_in_a_line_changes_the_line(self, world: World) -> None:
        sent, other = of_tenant(), of_tenant()
        await world.put(other, sent)
        where = await world.store.move(sent.message_id, Lane.HIGH)
        assert (where.is_gated, where.lane) == (True, Lane.HIGH)
        assert ids(await world.claim()) == ids([sent, other])

    async def test_a_move_to_its_own_lane_changes_nothing(self, world: World) -> None:
        first, second = neighbours(2)
        await world.put(first, second)
        await world.store.move(first.message_id, Lane.NORMAL)
        assert ids(await world.claim()) == ids([first, second])

    async def test_a_full_lane_refuses_and_the_message_stays(self, make: MakesStores) -> None:
        world = await make(ONE_PARTITION)
        sent = message(queue="narrow")
        await world.put(sent, *[message(queue="narrow", lane=Lane.HIGH) for _ in range(2)])
        with pytest.raises(LaneFull):
            await world.store.move(sent.message_id, Lane.HIGH)
        assert await world.depth("narrow") == (2, 1, 0)

    async def test_what_does_not_wait_cannot_be_moved(self, world: World) -> None:
        sent = message()
        await world.put(sent)
        lease = await world.claim_one()
        with pytest.raises(NotWaiting) as refused:
            await world.store.move(sent.message_id, Lane.HIGH)
        assert refused.value.state == State.RUNNING
        await world.settle(bury(lease))
        for ident, state in ((sent.message_id, State.DEAD), (new_message_id(), State.UNKNOWN)):
            with pytest.raises(NotWaiting) as refused:
                await world.store.move(ident, Lane.HIGH)
            assert refused.value.state == state

    async def test_a_moved_message_still_holds_its_key(self, world: World) -> None:
        sent = unique()
        await world.put(sent)
        await world.store.move(sent.message_id, Lane.HIGH)
        assert await is_taken(world) == sent.message_id
        lease = await world.claim_one()
        assert unpack_header(lease.payload).lane is Lane.HIGH
        await world.settle(ack(lease))
        assert await is_taken(world) is None
