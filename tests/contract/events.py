"""What a lane store promises to those who follow what a message tells."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from octoqueue.primitives.envelope import Flag, Header, pack_header
from octoqueue.primitives.events import Event, EventKind, Keeping, Told, encoded, position_from
from octoqueue.primitives.ids import MessageId, new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Emission, Enqueue, Outcome, SessionId, Settlement
from tests.contract.world import OPTIONS, SOON, A, B, World, ack, bury, release, retry

if TYPE_CHECKING:
    from octoqueue.primitives.events import Position
    from octoqueue.primitives.messages import Lease
    from tests.contract.world import MakesStores

FEW = replace(OPTIONS, events=Keeping(bound=3, ttl_ms=60_000))


def teller() -> Enqueue:
    """A message that tells events."""
    header = Header(lane=Lane.NORMAL, flags=Flag.EVENTS, message_id=new_message_id())
    return Enqueue(queue="coder", lane=Lane.NORMAL, payload=pack_header(header) + b"{}")


def told(*words: str, sender: str = "one", first: int = 1) -> Told:
    events = [
        encoded(EventKind.EMITTED, attempt=0, at_ms=1_000, data=word, actor="a") for word in words
    ]
    return Told(sender=sender, first=first, events=tuple(events))


async def emit(
    world: World, lease: Lease, *words: str, first: int = 1, session: SessionId = A
) -> int:
    """Emit words; return how many leases were gone."""
    emission = Emission(lease=lease, told=told(*words, first=first))
    return len(await world.store.emit(session, [emission]))


def said(event: Event) -> str:
    """An event in a word."""
    if event.kind is EventKind.EMITTED:
        return str(event.data)
    if event.kind is EventKind.ENDED:
        return f"ended {event.outcome}"
    if event.kind is EventKind.GAP:
        return f"gap {event.missed}"
    return event.kind.value


class Following:
    """A follower in a task of its own."""

    def __init__(self, world: World, ident: MessageId, since: Position | None = None) -> None:
        self.events: list[Event] = []
        self._more = asyncio.Event()
        self._source = world.store.events(ident, since=since)
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for event in self._source:
            self.events.append(event)
            self._more.set()

    @property
    def words(self) -> list[str]:
        return [said(event) for event in self.events]

    async def heard(self, count: int) -> list[str]:
        """Return what was said, as soon as that many events have come."""
        async with asyncio.timeout(SOON.total_seconds()):
            while len(self.events) < count and not self.task.done():
                self._more.clear()
                await self._more.wait()
        return self.words

    async def all(self) -> list[str]:
        """Return what was said when the stream has ended."""
        async with asyncio.timeout(SOON.total_seconds()):
            await self.task
        return self.words

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


async def claimed(world: World, session: SessionId = A) -> Lease:
    await world.put(teller())
    return await world.claim_one(session)


class Emitting:
    async def test_events_come_in_order_and_end_with_the_message(self, world: World) -> None:
        lease = await claimed(world)
        follower = Following(world, lease.message_id)
        assert await emit(world, lease, "a", "b") == 0
        assert await emit(world, lease, "c", first=3) == 0
        assert await follower.heard(3) == ["a", "b", "c"]
        await world.settle(ack(lease))
        assert await follower.all() == ["a", "b", "c", "ended succeeded"]

    async def test_who_comes_late_hears_it_all_too(self, world: World) -> None:
        lease = await claimed(world)
        await emit(world, lease, "a", "b")
        late = Following(world, lease.message_id)
        assert await late.heard(2) == ["a", "b"]
        await world.settle(ack(lease))
        after = Following(world, lease.message_id)
        assert await after.all() == await late.all() == ["a", "b", "ended succeeded"]

    async def test_who_knows_the_last_event_goes_on_after_it(self, world: World) -> None:
        lease = await claimed(world)
        await emit(world, lease, "a", "b", "c")
        first = Following(world, lease.message_id)
        await first.heard(3)
        again = Following(world, lease.message_id, position_from(first.events[1].id))
        assert await again.heard(1) == ["c"]
        await emit(world, lease, "d", first=4)
        await world.settle(ack(lease))
        assert await again.all() == ["c", "d", "ended succeeded"]
        await first.all()

    async def test_no_event_is_missed_or_doubled_however_followers_come_and_go(
        self, world: World
    ) -> None:
        lease = await claimed(world)
        followers: list[Following] = []
        for turn in range(60):
            if turn % 4 == 0:
                followers.append(Following(world, lease.message_id))
            if turn % 12 == 6:
                await followers.pop(0).stop()
            await emit(world, lease, f"{turn}", first=turn + 1)
        await world.settle(ack(lease))
        everything = [*map(str, range(60)), "ended succeeded"]
        for follower in followers:
            assert await follower.all() == everything

    async def test_an_emission_sent_twice_is_kept_once(self, world: World) -> None:
        lease = await claimed(world)
        await emit(world, lease, "a", "b")
        await emit(world, lease, "a", "b", "c")
        await emit(world, lease, "b", "c", first=2)
        await world.settle(ack(lease))
        assert await Following(world, lease.message_id).all() == ["a", "b", "c", "ended succeeded"]

    async def test_what_was_not_stored_yet_is_committed_with_the_ending(self, world: World) -> None:
        lease = await claimed(world)
        await emit(world, lease, "a", "b")
        unsure = told("b", "c", first=2)
        await world.settle(Settlement(lease=lease, outcome=Outcome.ACK, events=unsure))
        assert await emit(world, lease, "c", first=3) == 1
        assert await Following(world, lease.message_id).all() == ["a", "b", "c", "ended succeeded"]

    async def test_who_lost_the_lease_tells_nothing_more(self, world: World) -> None:
        lease = await claimed(world)
        assert await emit(world, lease, "a", session=B) == 1
        world.clock.advance(20_000)
        await world.store.reclaim()
        assert await emit(world, lease, "b") == 1
        again = await world.claim_one(B)
        await emit(world, again, "c", session=B)
        refusals = await world.store.commit(A, settlements=[ack(lease)])
        assert refusals.tokens == (lease.token,)
        await world.settle(ack(again), session=B)
        assert await Following(world, lease.message_id).all() == ["c", "ended succeeded"]

    async def test_several_messages_emit_in_one_call_each_to_its_own(self, world: World) -> None:
        await world.put(*(teller() for _ in range(20)))
        leases = await world.claim()
        followers = [Following(world, lease.message_id) for lease in leases]
        gone = await world.store.emit(
            A, [Emission(lease=lease, told=told(lease.token.hex())) for lease in leases]
        )
        assert gone == []
        await world.settle(*map(ack, leases))
        for lease, follower in zip(leases, followers, strict=True):
            assert await follower.all() == [lease.token.hex(), "ended succeeded"]

    async def test_a_slow_follower_loses_nothing_that_is_kept(self, world: World) -> None:
        lease = await claimed(world)
        source = world.store.events(lease.message_id)
        await emit(world, lease, "0")
        first = await anext(source)
        for batch in range(30):
            words = [str(batch * 50 + number + 1) for number in range(50)]
            await emit(world, lease, *words, first=batch * 50 + 2)
        await world.settle(ack(lease))
        words = [said(first), *[said(event) async for event in source]]
        assert words == [*map(str, range(1_501)), "ended succeeded"]


class Ending:
    async def test_a_retry_says_which_attempt_comes_next(self, world: World) -> None:
        lease = await claimed(world)
        follower = Following(world, lease.message_id)
        await world.settle(retry(lease, delay_ms=0))
        assert await follower.heard(1) == ["retry"]
        assert follower.events[0].data == {"attempt": 1, "delay_ms": 0}
        await world.settle(ack(await world.claim_one()))
        assert await follower.all() == ["retry", "ended succeeded"]
        assert [event.attempt for event in follower.events] == [0, 1]

    async def test_a_dead_letter_ends_the_stream_with_its_error(self, world: World) -> None:
        lease = await claimed(world)
        reason = orjson.dumps({"error": "ValueError", "message": "no"})
        await world.settle(bury(lease, reason))
        follower = Following(world, lease.message_id)
        assert await follower.all() == ["ended dead"]
        assert follower.events[0].data == {
            "outcome": "dead",
            "error": "ValueError",
            "message": "no",
        }

    async def test_a_replayed_message_tells_anew(self, world: World) -> None:
        lease = await claimed(world)
        await emit(world, lease, "a")
        await world.settle(bury(lease))
        world.clock.advance(1)
        await world.store.replay("coder", [lease.message_id])
        follower = Following(world, lease.message_id)
        again = await world.claim_one()
        await emit(world, again, "b")
        await world.settle(ack(again))
        assert await follower.all() == ["b", "ended succeeded"]

    async def test_a_release_ends_nothing(self, world: World) -> None:
        lease = await claimed(world)
        await world.settle(release(lease))
        again = await world.claim_one()
        await emit(world, again, "b")
        await world.settle(ack(again))
        assert await Following(world, lease.message_id).all() == ["b", "ended succeeded"]

    async def test_a_settlement_that_is_refused_ends_nothing(self, world: World) -> None:
        lease = await claimed(world)
        follower = Following(world, lease.message_id)
        await world.store.commit(B, settlements=[retry(lease), bury(lease)])
        await world.settle(ack(lease))
        assert await follower.all() == ["ended succeeded"]

    async def test_a_message_without_the_flag_tells_nothing(self, world: World) -> None:
        plain = teller()
        bare = plain._replace(payload=plain.payload[:3] + b"\0" + plain.payload[4:])
        await world.put(bare)
        lease = await world.claim_one()
        follower = Following(world, lease.message_id)
        await world.settle(ack(lease))
        await asyncio.wait([follower.task], timeout=0.05)
        assert follower.words == []
        await follower.stop()


class Keeps:
    async def test_of_a_long_stream_the_newest_are_kept_and_the_loss_is_told(
        self, make: MakesStores
    ) -> None:
        world = await make(FEW)
        lease = await claimed(world)
        await emit(world, lease, *"abcdefg")
        follower = Following(world, lease.message_id)
        assert await follower.heard(4) == ["gap 4", "e", "f", "g"]
        await world.settle(ack(lease))
        since = position_from(follower.events[1].id)
        assert await follower.all() == ["gap 4", "e", "f", "g", "ended succeeded"]
        assert await Following(world, lease.message_id, since).all() == [
            "f",
            "g",
            "ended succeeded",
        ]

    async def test_a_follower_that_is_left_alone_for_too_long_is_told_of_the_gap(
        self, make: MakesStores
    ) -> None:
        world = await make(FEW)
        lease = await claimed(world)
        await emit(world, lease, "0")
        source = world.store.events(lease.message_id)
        assert said(await anext(source)) == "0"
        await source.aclose()
        await emit(world, lease, *"123456789", first=2)
        await world.settle(ack(lease))
        again = Following(world, lease.message_id, position_from("0-1"))
        assert (await again.all())[-3:] == ["8", "9", "ended succeeded"]
        assert again.events[0].kind is EventKind.GAP
