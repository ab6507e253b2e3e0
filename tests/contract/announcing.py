"""What a lane store promises of what is told under ids that nobody holds a lease of."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from octoqueue.primitives.events import EventKind, encoded
from octoqueue.primitives.ids import MessageId, new_message_id
from octoqueue.primitives.messages import Announcement, ResultRecord
from tests.contract.events import Following
from tests.contract.world import SOON

if TYPE_CHECKING:
    from tests.contract.world import World

KEPT = ResultRecord(body=b"42", ttl_ms=60_000)


def event(word: str) -> bytes:
    return encoded(EventKind.EMITTED, attempt=0, at_ms=1_000, data=word, actor="a")


def the_end(outcome: str) -> bytes:
    data = {"outcome": outcome}
    return encoded(EventKind.ENDED, attempt=0, at_ms=1_000, data=data, actor="a")


async def announce(world: World, ident: MessageId, **words: int) -> None:
    """Tell words under an id, each with its number."""
    numbered = tuple((number, event(word)) for word, number in words.items())
    await world.store.announce([Announcement(message_id=ident, events=numbered)])


class Announcing:
    async def test_an_announced_result_is_kept_and_wakes_who_waits(self, world: World) -> None:
        ident = new_message_id()
        waiter = asyncio.create_task(world.store.wait_for_result(ident, timeout=SOON))
        await asyncio.wait([waiter], timeout=0.02)
        await world.store.announce([Announcement(message_id=ident, result=KEPT)])
        assert await waiter == b"42"
        assert await world.store.result(ident) == b"42"

    async def test_announced_events_are_followed_to_the_end(self, world: World) -> None:
        ident = new_message_id()
        follower = Following(world, ident)
        await announce(world, ident, a=1)
        assert await follower.heard(1) == ["a"]
        last = Announcement(message_id=ident, events=((5, event("b")), (9, the_end("completed"))))
        await world.store.announce([last])
        assert await follower.all() == ["a", "b", "ended completed"]
        assert await Following(world, ident).all() == ["a", "b", "ended completed"]

    async def test_an_event_told_twice_or_too_late_is_left_out(self, world: World) -> None:
        ident = new_message_id()
        await announce(world, ident, a=2, b=7)
        await announce(world, ident, a=2, b=7)
        await announce(world, ident, late=3, c=8)
        follower = Following(world, ident)
        assert await follower.heard(3) == ["a", "b", "c"]
        await announce(world, ident, d=9)
        assert await follower.heard(4) == ["a", "b", "c", "d"]
        await follower.stop()

    async def test_many_are_announced_at_once_wherever_they_belong(self, world: World) -> None:
        idents = [new_message_id() for _ in range(30)]
        told = [
            Announcement(message_id=ident, events=((1, event(str(number))),), result=KEPT)
            for number, ident in enumerate(idents)
        ]
        await world.store.announce(told)
        for number, ident in enumerate(idents):
            assert await world.store.result(ident) == b"42"
            follower = Following(world, ident)
            assert await follower.heard(1) == [str(number)]
            await follower.stop()

    async def test_to_announce_nothing_is_nothing(self, world: World) -> None:
        await world.store.announce([])
