"""What a lane store promises to remember of earlier attempts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import orjson

from octoqueue.lanes.answers import CancelOutcome
from octoqueue.primitives.envelope import pack_header, unpack_header
from octoqueue.primitives.history import PastAttempt
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.messages import Enqueue, Lease, Outcome, Settlement
from tests.contract.cancelling import of_tenant
from tests.contract.world import (
    ONE_PARTITION,
    A,
    B,
    MakesStores,
    World,
    ack,
    bury,
    message,
    messages,
    release,
)


def failed(lease: Lease, error: str = "ValueError", told: str = "no") -> Settlement:
    reason = orjson.dumps({"error": error, "message": told})
    return Settlement(lease=lease, outcome=Outcome.RETRY, reason=reason)


async def tried(world: World, sent: Enqueue, times: int = 1) -> None:
    """Put a message and fail it; it waits for its next attempt."""
    await world.put(sent)
    for _ in range(times):
        await world.settle(failed(await world.claim_one()))


class Remembering:
    async def test_every_attempt_that_is_tried_again_is_remembered_oldest_first(
        self, world: World
    ) -> None:
        sent = message()
        await world.put(sent)
        assert await world.store.history(sent.message_id) == []
        began = world.clock.now_ms()
        await world.settle(failed(await world.claim_one(A), "OSError", "gone"), session=A)
        world.clock.advance(700)
        await world.settle(failed(await world.claim_one(B), "ValueError", "odd"), session=B)
        assert await world.store.history(sent.message_id) == [
            PastAttempt(attempt=0, ended_at_ms=began, error="OSError", message="gone", session=A),
            PastAttempt(
                attempt=1, ended_at_ms=began + 700, error="ValueError", message="odd", session=B
            ),
        ]
        assert await world.store.history(new_message_id()) == []

    async def test_it_is_there_while_the_message_is_delayed_leased_released_and_reclaimed(
        self, world: World
    ) -> None:
        sent = message()
        await world.put(sent)
        again = replace(failed(await world.claim_one()), delay_ms=500)
        await world.settle(again)
        assert len(await world.store.history(sent.message_id)) == 1
        world.clock.advance(500)
        await world.store.promote("coder")
        await world.settle(release(await world.claim_one()))
        await world.claim_one()
        world.clock.advance(20_000)
        assert await world.store.reclaim() == 1
        snooze = Settlement(lease=await world.claim_one(), outcome=Outcome.SNOOZE, delay_ms=5)
        await world.settle(snooze)
        assert len(await world.store.history(sent.message_id)) == 1

    async def test_only_the_last_ten_are_kept_and_messages_cut(self, world: World) -> None:
        sent = message()
        await world.put(sent)
        for _ in range(13):
            await world.settle(failed(await world.claim_one(), told="é" * 200))
        attempts = await world.store.history(sent.message_id)
        assert [one.attempt for one in attempts] == list(range(3, 13))
        assert {one.message for one in attempts} == {"é" * 150}

    async def test_a_retry_without_a_reason_is_an_attempt_without_an_error(
        self, world: World
    ) -> None:
        sent = message()
        await world.put(sent)
        await world.settle(Settlement(lease=await world.claim_one(), outcome=Outcome.RETRY))
        (one,) = await world.store.history(sent.message_id)
        assert (one.error, one.message) == (None, "")

    async def test_it_ends_with_an_ack_however_that_is_told(self, world: World) -> None:
        first, second = messages(2)
        await tried(world, first)
        lease = await world.claim_one()
        refusals = await world.store.commit(A, acks=[lease])
        assert (refusals.acks, refusals.tokens) == (0, ())
        await tried(world, second)
        await world.settle(ack(await world.claim_one(), result=b"1"))
        assert await world.store.history(first.message_id) == []
        assert await world.store.history(second.message_id) == []
        assert (await world.store.stats("coder")).counters["acked"] == 2

    async def test_a_late_settlement_neither_adds_nor_forgets(self, world: World) -> None:
        sent = message()
        await tried(world, sent)
        lease = await world.claim_one()
        await world.settle(failed(lease))
        before = await world.store.history(sent.message_id)
        for late in (failed(lease), ack(lease), bury(lease)):
            refusals = await world.store.commit(A, settlements=[late])
            assert refusals.tokens == (lease.token,)
        assert await world.store.history(sent.message_id) == before

    async def test_it_ends_with_a_message_that_expires_or_is_cancelled(self, world: World) -> None:
        expiring, stopped, withdrawn, given_up = messages(4)
        for sent, outcome in ((expiring, Outcome.EXPIRE), (stopped, Outcome.CANCEL)):
            await tried(world, sent)
            await world.settle(Settlement(lease=await world.claim_one(), outcome=outcome))
        await tried(world, withdrawn)
        assert await world.store.cancel(withdrawn.message_id) is CancelOutcome.REMOVED
        await tried(world, given_up)
        lease = await world.claim_one()
        await world.store.cancel(given_up.message_id)
        await world.settle(failed(lease))
        for sent in (expiring, stopped, withdrawn, given_up):
            assert await world.store.history(sent.message_id) == []

    async def test_a_dead_letter_keeps_it_until_it_is_replayed_or_purged(
        self, world: World
    ) -> None:
        replayed, purged, kept = messages(3)
        for sent in (replayed, purged, kept):
            await tried(world, sent, 2)
            await world.settle(bury(await world.claim_one()))
            assert len(await world.store.history(sent.message_id)) == 2
        await world.store.replay("coder", [replayed.message_id])
        await world.store.purge("coder", [purged.message_id, new_message_id()])
        assert await world.store.history(replayed.message_id) == []
        assert await world.store.history(purged.message_id) == []
        assert len(await world.store.history(kept.message_id)) == 2
        await world.settle(failed(await world.claim_one()))
        assert [one.attempt for one in await world.store.history(replayed.message_id)] == [0]

    async def test_naming_a_message_that_is_not_dead_forgets_nothing(self, world: World) -> None:
        sent = message()
        await tried(world, sent)
        assert await world.store.purge("coder", [sent.message_id]) == 0
        assert len(await world.store.history(sent.message_id)) == 1

    async def test_messages_that_pass_gates_are_remembered_in_their_own_partition(
        self, world: World
    ) -> None:
        sent = of_tenant()
        await world.put(sent, message())
        for settle in (failed, failed, bury):
            await world.settle(*map(settle, await world.claim()))
        assert len(await world.store.history(sent.message_id)) == 2

    async def test_a_message_sent_again_with_its_own_ack_is_remembered(self, world: World) -> None:
        sent = message()
        await world.put(sent)
        lease = await world.claim_one()
        header = unpack_header(sent.payload)._replace(attempt=1)
        again = sent._replace(payload=pack_header(header) + b"{}")
        await world.settle(replace(ack(lease, again), reason=b'{"error":"E","message":"m"}'))
        (one,) = await world.store.history(sent.message_id)
        assert (one.attempt, one.error, one.message) == (0, "E", "m")
        await world.settle(ack(await world.claim_one()))
        assert await world.store.history(sent.message_id) == []

    async def test_it_is_forgotten_after_its_time(self, make: MakesStores) -> None:
        world = await make(replace(ONE_PARTITION, history_ttl=timedelta(milliseconds=1)))
        sent = message()
        await tried(world, sent)
        world.clock.advance(1)
        while await world.store.history(sent.message_id):
            pass
