"""What a lane store promises to a relay, which may send a message again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import LaneFull, SentTooLate
from octoqueue.primitives.once import IN_DOUBT, SEND_WITHIN, SETTLED, Once
from tests.contract.world import ONE_PARTITION, MakesStores, World, ack, ids, message, messages

if TYPE_CHECKING:
    from octoqueue.primitives.messages import Enqueue

MILLISECOND = timedelta(milliseconds=1)


async def send(world: World, *sent: Enqueue, settled: tuple[Enqueue, ...] = ()) -> None:
    """Send messages as a relay does that is not held up; all must be accepted."""
    refusals = await world.store.enqueue_once(sent, await in_time(world, *settled))
    assert refusals == [None] * len(sent)


async def in_time(world: World, *settled: Enqueue) -> Once:
    now_ms = await world.store.now_ms()
    return Once(not_after_ms=now_ms + SEND_WITHIN // MILLISECOND, settled=tuple(ids(settled)))


class EnqueuingOnce:
    async def test_the_stores_clock_can_be_read(self, world: World) -> None:
        assert await world.store.now_ms() == world.clock.now_ms()

    async def test_a_message_sent_again_is_one_message(self, world: World) -> None:
        sent = messages(20)
        await send(world, *sent[:10])
        await send(world, *sent)
        assert await world.depth() == (0, 20, 0)
        assert (await world.store.stats("coder")).counters["enqueued"] == 20

    async def test_a_message_sent_again_after_it_ended_does_not_come_back(
        self, world: World
    ) -> None:
        sent = message()
        await send(world, sent)
        await world.settle(ack(await world.claim_one()))
        await send(world, sent)
        assert await world.depth() == (0, 0, 0)

    async def test_a_delayed_message_sent_again_is_one_message(self, world: World) -> None:
        sent = message(delay_ms=50)
        await send(world, sent)
        await send(world, sent)
        assert (await world.store.stats("coder")).delayed == 1

    async def test_what_was_refused_is_not_known(self, make: MakesStores) -> None:
        narrow = await make(ONE_PARTITION)
        sent = [message(queue="narrow") for _ in range(4)]
        refusals = await narrow.store.enqueue_once(sent, await in_time(narrow))
        assert [refusal is None for refusal in refusals] == [True, True, True, False]
        assert isinstance(refusals[3], LaneFull)
        await narrow.claim(1, queues=["narrow"])
        await send(narrow, *sent)
        assert await narrow.depth("narrow") == (0, 3, 0)

    async def test_what_was_stored_before_needs_no_room(self, make: MakesStores) -> None:
        narrow = await make(ONE_PARTITION)
        sent = [message(queue="narrow") for _ in range(3)]
        await send(narrow, *sent)
        await send(narrow, *sent)

    async def test_a_call_that_comes_too_late_stores_nothing_and_says_so(
        self, world: World
    ) -> None:
        once = await in_time(world)
        world.clock.advance((SEND_WITHIN + MILLISECOND) // MILLISECOND)
        with pytest.raises(SentTooLate):
            await world.store.enqueue_once([message()], once)
        assert await world.depth() == (0, 0, 0)

    async def test_a_settled_message_is_known_for_as_long_as_a_relay_may_be_held_up(
        self, world: World
    ) -> None:
        sent = message()
        await send(world, sent)
        await send(world, settled=(sent,))
        world.clock.advance((SETTLED - MILLISECOND) // MILLISECOND)
        await send(world, sent)
        assert await world.depth() == (0, 1, 0)
        assert SETTLED > SEND_WITHIN

    async def test_a_settled_message_is_forgotten(self, world: World) -> None:
        sent = message()
        await send(world, sent)
        await send(world, settled=(sent,))
        world.clock.advance((SETTLED + MILLISECOND) // MILLISECOND)
        await send(world, sent)
        assert await world.depth() == (0, 2, 0)

    async def test_a_message_in_doubt_is_known_for_days(self, world: World) -> None:
        sent = message()
        await send(world, sent)
        world.clock.advance((IN_DOUBT - MILLISECOND) // MILLISECOND)
        await send(world, sent)
        assert await world.depth() == (0, 1, 0)

    async def test_settling_what_was_never_sent_leaves_no_trace(self, world: World) -> None:
        sent = message()
        await send(world, settled=(sent,))
        await send(world, sent)
        assert await world.depth() == (0, 1, 0)
