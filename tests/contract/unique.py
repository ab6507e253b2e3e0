"""What a lane store promises about unique keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import KeyTaken, LaneFull
from octoqueue.lanes.answers import Duplicates
from octoqueue.primitives.envelope import Flag, Header, pack_header
from octoqueue.primitives.extension import (
    Extension,
    UniqueKey,
    UniqueMode,
    pack_extension,
    unique_digest,
)
from octoqueue.primitives.ids import MessageId, new_message_id, text_from_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue, Lease, Outcome, Settlement
from tests.contract.world import (
    LEASE_MS,
    ONE_PARTITION,
    A,
    MakesStores,
    World,
    ack,
    bury,
    ids,
    message,
    release,
    retry,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DONE, STARTED, WINDOW = UniqueMode.DONE, UniqueMode.STARTED, UniqueMode.WINDOW
MINUTE_MS = 60_000


def unique(
    key: str = "k",
    mode: UniqueMode = DONE,
    *,
    lane: Lane = Lane.NORMAL,
    queue: str = "coder",
    delay_ms: int = 0,
    refuse: bool = False,
    beside: MessageId | None = None,
    tenant: str = "",
) -> Enqueue:
    """A message with a unique key, in the partition of its key as a producer puts it."""
    digest = unique_digest(key)
    window_ms = MINUTE_MS if mode is WINDOW else 0
    extension = Extension(UniqueKey(mode, digest, window_ms), tenant)
    ident = new_message_id(beside=beside or MessageId(digest))
    flags = Flag.KEEP_RESULT | Flag.EXTENDED
    header = pack_header(Header(lane=lane, flags=flags, message_id=ident))
    payload = header + pack_extension(extension) + b"{}"
    return Enqueue(
        queue=queue, lane=lane, payload=payload, delay_ms=delay_ms, refuse_duplicates=refuse
    )


async def is_taken(world: World, key: str = "k") -> MessageId | None:
    """Who holds a key; asked by a message that is refused when there is somebody."""
    probe = unique(key, queue="probe")
    (answer,) = await world.store.enqueue([[probe]])
    if isinstance(answer, Duplicates):
        return answer.existing[probe.message_id]
    assert answer is None
    (lease,) = await world.claim(1, queues=["probe"])
    await world.settle(ack(lease))
    return None


class BeingUnique:
    async def test_a_duplicate_is_not_stored_and_names_the_message_that_holds_the_key(
        self, world: World
    ) -> None:
        first, second = unique(), unique()
        await world.put(first)
        (answer,) = await world.store.enqueue([[second]])
        assert answer == Duplicates({second.message_id: first.message_id})
        assert ids(await world.claim()) == [first.message_id]
        assert (await world.store.stats("coder")).counters["enqueued"] == 1

    async def test_other_keys_are_other_messages(self, world: World) -> None:
        await world.put(unique("a"), unique("b"), message())
        assert len(await world.claim()) == 3

    async def test_the_rest_of_a_group_is_stored_without_its_duplicate(self, world: World) -> None:
        first = unique()
        await world.put(first)
        second = unique()
        plain = message(beside=first.message_id)
        (answer,) = await world.store.enqueue([[plain, second]])
        assert answer == Duplicates({second.message_id: first.message_id})
        assert set(ids(await world.claim())) == set(ids([first, plain]))

    async def test_two_of_one_group_are_one(self, world: World) -> None:
        first, second = unique(), unique()
        (answer,) = await world.store.enqueue([[first, second]])
        assert answer == Duplicates({second.message_id: first.message_id})
        assert ids(await world.claim()) == [first.message_id]

    async def test_a_group_that_wants_no_duplicates_is_refused_whole(self, world: World) -> None:
        first, other = unique(), unique("other", beside=MessageId(unique_digest("k")))
        await world.put(first)
        second = unique(refuse=True)
        answers = await world.store.enqueue([[other, second], [unique("third", refuse=True)]])
        assert answers == [
            Duplicates({second.message_id: first.message_id}, refused=True),
            None,
        ]
        await world.put(other)
        assert len(await world.claim()) == 3

    async def test_a_message_sent_again_is_its_own_duplicate_and_refuses_nothing(
        self, world: World
    ) -> None:
        sent = unique(refuse=True)
        await world.put(sent)
        (answer,) = await world.store.enqueue([[sent]])
        assert answer == Duplicates({sent.message_id: sent.message_id})
        assert ids(await world.claim()) == [sent.message_id]

    async def test_a_duplicate_needs_no_room_and_a_refused_message_takes_no_key(
        self, make: MakesStores
    ) -> None:
        world = await make(ONE_PARTITION)
        await world.put(unique(queue="narrow"), *[message(queue="narrow") for _ in range(2)])
        (answer,) = await world.store.enqueue([[unique(queue="narrow")]])
        assert isinstance(answer, Duplicates)
        (answer,) = await world.store.enqueue([[unique("other", queue="narrow")]])
        assert isinstance(answer, LaneFull)
        assert await is_taken(world, "other") is None

    async def test_a_delayed_message_holds_its_key(self, world: World) -> None:
        later = unique(delay_ms=1_000)
        await world.put(later)
        assert await is_taken(world) == later.message_id
        world.clock.advance(1_000)
        await world.store.promote("coder")
        assert await is_taken(world) == later.message_id

    async def test_a_key_holds_over_queues_and_lanes(self, world: World) -> None:
        first, second = unique(lane=Lane.LOW), unique(queue="judge", lane=Lane.HIGH)
        await world.put(first)
        (answer,) = await world.store.enqueue([[second]])
        assert answer == Duplicates({second.message_id: first.message_id})

    async def test_a_message_with_gates_holds_its_key_too(self, world: World) -> None:
        first = unique(tenant="acme")
        await world.put(first)
        assert await is_taken(world) == first.message_id
        await world.settle(ack(await world.claim_one()))
        assert await is_taken(world) is None


class Releasing:
    @pytest.mark.parametrize("end", [ack, bury], ids=["ack", "dead-letter"])
    @pytest.mark.parametrize("mode", [STARTED, DONE])
    async def test_the_key_is_free_when_the_message_has_ended(
        self, world: World, end: Callable[[Lease], Settlement], mode: UniqueMode
    ) -> None:
        await world.put(unique(mode=mode))
        lease = await world.claim_one()
        await world.settle(end(lease))
        assert await is_taken(world) is None

    async def test_the_key_is_free_when_a_worker_ends_it_as_cancelled(self, world: World) -> None:
        await world.put(unique())
        lease = await world.claim_one()
        await world.settle(Settlement(lease=lease, outcome=Outcome.CANCEL))
        assert await is_taken(world) is None

    async def test_until_done_it_is_taken_while_it_runs_and_waits_again(self, world: World) -> None:
        sent = unique()
        await world.put(sent)
        await world.settle(retry(await world.claim_one(), delay_ms=10))
        assert await is_taken(world) == sent.message_id
        world.clock.advance(10)
        await world.store.promote("coder")
        await world.settle(release(await world.claim_one()))
        assert await is_taken(world) == sent.message_id
        await world.claim_one()
        world.clock.advance(LEASE_MS)
        assert await world.store.reclaim() == 1
        assert await is_taken(world) == sent.message_id
        await world.settle(ack(await world.claim_one()))
        assert await is_taken(world) is None

    async def test_until_started_it_is_free_at_the_first_claim(self, world: World) -> None:
        sent = unique(mode=STARTED)
        await world.put(sent)
        assert await is_taken(world) == sent.message_id
        lease = await world.claim_one()
        assert await is_taken(world) is None
        other = unique(mode=STARTED)
        await world.put(other)
        await world.settle(retry(lease))
        leases = await world.claim()
        assert set(ids(leases)) == set(ids([sent, other]))

    async def test_the_key_of_another_holder_is_never_released(self, world: World) -> None:
        first, second = unique(mode=STARTED), unique()
        await world.put(first)
        lease = await world.claim_one()
        await world.put(second)
        await world.settle(ack(lease))
        assert await is_taken(world) == second.message_id

    async def test_a_window_ends_by_time_and_by_nothing_else(self, world: World) -> None:
        sent = unique(mode=WINDOW)
        await world.put(sent)
        await world.settle(ack(await world.claim_one()))
        world.clock.advance(MINUTE_MS - 1)
        await world.store.extend(A)
        await world.store.reclaim()
        assert await is_taken(world) == sent.message_id
        world.clock.advance(1)
        assert await is_taken(world) is None

    async def test_a_window_that_passed_under_a_waiting_message_is_over(self, world: World) -> None:
        first, second = unique(mode=WINDOW), unique(mode=WINDOW)
        await world.put(first)
        world.clock.advance(MINUTE_MS)
        await world.put(second)
        await world.settle(*map(ack, await world.claim()))
        assert await is_taken(world) == second.message_id

    async def test_flushing_releases(self, world: World) -> None:
        await world.put(unique("a"), unique("b", delay_ms=5), unique("c", tenant="acme"), message())
        await world.store.flush("coder")
        assert [await is_taken(world, key) for key in "abc"] == [None] * 3
        assert (await world.store.stats("coder")).waiting == 0


class FollowingUniquely:
    async def test_a_duplicate_follow_up_is_left_out_and_counted(self, world: World) -> None:
        first = unique(queue="judge")
        parent = message(beside=first.message_id)
        await world.put(first, parent)
        lease = await world.claim_one()
        child = unique(queue="judge", beside=parent.message_id)
        sibling = message(queue="judge", beside=parent.message_id)
        await world.settle(ack(lease, child, sibling))
        stats = await world.store.stats("judge")
        assert (stats.counters["duplicates"], stats.counters["enqueued"]) == (1, 2)
        assert set(ids(await world.claim(queues=["judge"]))) == set(ids([first, sibling]))

    async def test_a_follow_up_takes_its_key_when_its_parent_has_ended(self, world: World) -> None:
        parent = unique()
        await world.put(parent)
        child, twin = unique(beside=parent.message_id), unique(beside=parent.message_id)
        await world.settle(ack(await world.claim_one(), child, twin))
        assert await is_taken(world) == child.message_id
        assert ids(await world.claim()) == [child.message_id]

    async def test_what_a_refused_settlement_would_send_takes_no_key(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        await world.settle(ack(lease))
        child = unique(beside=lease.message_id)
        refusals = await world.store.commit(A, settlements=[ack(lease, child)])
        assert refusals.tokens == (lease.token,)
        assert await is_taken(world) is None


class ReplayingUniquely:
    async def test_a_replayed_message_takes_its_key_again(self, world: World) -> None:
        dead = unique()
        await world.put(dead)
        await world.settle(bury(await world.claim_one()))
        assert await world.store.replay("coder", [dead.message_id]) == [dead.message_id]
        assert await is_taken(world) == dead.message_id
        await world.settle(ack(await world.claim_one()))
        assert await is_taken(world) is None

    async def test_a_replay_is_refused_when_its_key_was_taken_meanwhile(self, world: World) -> None:
        dead, other = unique(), message(beside=MessageId(unique_digest("k")))
        await world.put(dead, other)
        await world.settle(*map(bury, await world.claim()))
        holder = unique()
        await world.put(holder)
        with pytest.raises(KeyTaken) as refused:
            await world.store.replay("coder", ids([other, dead]))
        assert refused.value.message_id == text_from_id(dead.message_id)
        assert refused.value.existing == text_from_id(holder.message_id)
        assert (await world.store.stats("coder")).dead == 2
        await world.settle(ack(await world.claim_one()))
        assert await world.store.replay("coder", ids([other, dead])) == ids([other, dead])

    async def test_of_two_dead_letters_with_one_key_only_one_is_replayed(
        self, world: World
    ) -> None:
        one, two = unique(), unique()
        for each in (one, two):
            await world.put(each)
            await world.settle(bury(await world.claim_one()))
        with pytest.raises(KeyTaken):
            await world.store.replay("coder", ids([one, two]))
        assert await world.store.replay("coder", [two.message_id]) == [two.message_id]
        with pytest.raises(KeyTaken):
            await world.store.replay("coder", [one.message_id])

    async def test_a_window_that_still_runs_is_kept(self, world: World) -> None:
        dead = unique(mode=WINDOW)
        await world.put(dead)
        await world.settle(bury(await world.claim_one()))
        world.clock.advance(MINUTE_MS // 2)
        assert await world.store.replay("coder", [dead.message_id]) == [dead.message_id]
        world.clock.advance(MINUTE_MS // 2)
        assert await is_taken(world) is None

    async def test_purging_leaves_the_key_of_another_alone(self, world: World) -> None:
        dead, holder = unique(), unique()
        await world.put(dead)
        await world.settle(bury(await world.claim_one()))
        await world.put(holder)
        assert await world.store.purge("coder", [dead.message_id]) == 1
        assert await is_taken(world) == holder.message_id
