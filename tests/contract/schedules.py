"""What a lane store promises about schedules."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import LaneFull
from octoqueue.primitives.cron import Every
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.schedules import Fired, Schedule, Tick
from tests.contract.unique import unique
from tests.contract.world import (
    ONE_PARTITION,
    SOON,
    MakesStores,
    World,
    ack,
    ids,
    message,
)

if TYPE_CHECKING:
    from octoqueue.primitives.messages import Enqueue

NIGHTLY = Schedule(name="nightly", ticks=Every(1_000))
SAME, OTHER = NIGHTLY.ticks.digest, Every(2_000).digest


def tick_message(*, lane: Lane = Lane.NORMAL, queue: str = "coder") -> Enqueue:
    return message(lane=lane, queue=queue, beside=NIGHTLY.place)


def tick(after_ms: int, tick_ms: int, *, digest: str = SAME) -> Tick:
    return Tick(schedule=NIGHTLY.name, digest=digest, after_ms=after_ms, tick_ms=tick_ms)


class Beginning:
    async def test_a_schedule_that_was_never_seen_begins_now(self, world: World) -> None:
        now = world.clock.now_ms()
        assert await world.store.last_tick("nightly", SAME) == (now, None, now)
        world.clock.advance(500)
        assert await world.store.last_tick("nightly", SAME) == (now, None, now + 500)

    async def test_who_only_looks_begins_nothing(self, world: World) -> None:
        now = world.clock.now_ms()
        assert await world.store.last_tick("nightly", SAME, begins=False) == (None, None, now)
        world.clock.advance(500)
        assert await world.store.last_tick("nightly", SAME) == (now + 500, None, now + 500)
        stands = await world.store.last_tick("nightly", OTHER, begins=False)
        assert stands == (None, None, now + 500)

    async def test_a_schedule_whose_ticks_have_changed_begins_anew(self, world: World) -> None:
        begun = world.clock.now_ms()
        await world.store.last_tick("nightly", SAME)
        world.clock.advance(1_000)
        await world.store.fire(tick(begun, begun + 1_000), tick_message())
        world.clock.advance(5_000)
        now = world.clock.now_ms()
        assert await world.store.last_tick("nightly", OTHER) == (now, begun + 1_000, now)

    async def test_schedules_stand_by_themselves(self, world: World) -> None:
        first = await world.store.last_tick("nightly", SAME)
        world.clock.advance(500)
        second = await world.store.last_tick("weekly", SAME)
        assert (second.last_ms or 0) - (first.last_ms or 0) == 500

    async def test_the_store_tells_its_clock(self, world: World) -> None:
        assert await world.store.now_ms() == world.clock.now_ms()


class Firing:
    async def test_a_tick_that_is_due_is_enqueued_and_recorded(self, world: World) -> None:
        begun = world.clock.now_ms()
        await world.store.last_tick("nightly", SAME)
        world.clock.advance(1_500)
        sent, now = tick_message(), world.clock.now_ms()
        fired = await world.store.fire(tick(begun, begun + 1_000), sent)
        assert fired == (Fired.FIRED, begun + 1_000, now)
        stands = await world.store.last_tick("nightly", SAME)
        assert stands == (begun + 1_000, begun + 1_000, now)
        assert ids(await world.claim()) == [sent.message_id]
        assert (await world.store.stats("coder")).counters["enqueued"] == 1

    async def test_a_tick_is_fired_once_however_many_ask(self, world: World) -> None:
        begun = world.clock.now_ms()
        world.clock.advance(1_000)
        asked = [world.store.fire(tick(begun, begun + 1_000), tick_message()) for _ in range(20)]
        answers = [answer.outcome for answer in await asyncio.gather(*asked)]
        assert answers.count(Fired.FIRED) == 1
        assert answers.count(Fired.MOVED_ON) == 19
        assert len(await world.claim()) == 1

    async def test_who_knows_another_last_tick_is_told_the_right_one(self, world: World) -> None:
        begun = world.clock.now_ms()
        world.clock.advance(3_000)
        await world.store.fire(tick(begun, begun + 1_000), tick_message())
        fired = await world.store.fire(tick(begun, begun + 2_000), tick_message())
        assert (fired.outcome, fired.last_ms) == (Fired.MOVED_ON, begun + 1_000)
        fired = await world.store.fire(tick(begun + 1_000, begun + 2_000), tick_message())
        assert fired.outcome is Fired.FIRED
        assert len(await world.claim()) == 2

    async def test_a_tick_that_is_not_due_by_the_stores_clock_is_refused(
        self, world: World
    ) -> None:
        begun = world.clock.now_ms()
        world.clock.advance(999)
        early = await world.store.fire(tick(begun, begun + 1_000), tick_message())
        assert early == (Fired.EARLY, begun, begun + 999)
        assert await world.claim() == []
        world.clock.advance(1)
        fired = await world.store.fire(tick(begun, begun + 1_000), tick_message())
        assert fired.outcome is Fired.FIRED

    async def test_a_full_lane_refuses_the_tick_which_is_still_to_be_fired(
        self, make: MakesStores
    ) -> None:
        world = await make(ONE_PARTITION)
        begun = world.clock.now_ms()
        await world.put(*(message(lane=Lane.HIGH, queue="narrow") for _ in range(2)))
        world.clock.advance(1_000)
        sent = tick_message(lane=Lane.HIGH, queue="narrow")
        with pytest.raises(LaneFull) as full:
            await world.store.fire(tick(begun, begun + 1_000), sent)
        assert (full.value.depth, full.value.bound) == (2, 2)
        assert (await world.store.last_tick("nightly", SAME, begins=False)).fired_ms is None
        await world.claim(queues=["narrow"])
        fired = await world.store.fire(tick(begun, begun + 1_000), sent)
        assert fired.outcome is Fired.FIRED
        assert ids(await world.claim(queues=["narrow"])) == [sent.message_id]

    @pytest.mark.parametrize("refuse", [False, True])
    async def test_a_tick_whose_message_is_a_duplicate_is_recorded_and_sends_nothing(
        self, world: World, *, refuse: bool
    ) -> None:
        """Whatever the actor wants of its duplicates: nobody is there to be told."""
        begun = world.clock.now_ms()
        first, second, third = (
            unique(beside=NIGHTLY.place, refuse=refuse, queue="coder") for _ in range(3)
        )
        world.clock.advance(3_000)
        fired = await world.store.fire(tick(begun, begun + 1_000), first)
        assert fired.outcome is Fired.FIRED
        fired = await world.store.fire(tick(begun + 1_000, begun + 2_000), second)
        assert (fired.outcome, fired.last_ms) == (Fired.DUPLICATE, begun + 2_000)
        await world.settle(ack(await world.claim_one()))
        fired = await world.store.fire(tick(begun + 2_000, begun + 3_000), third)
        assert (fired.outcome, fired.last_ms) == (Fired.FIRED, begun + 3_000)
        assert ids(await world.claim()) == [third.message_id]

    async def test_firing_rings(self, world: World) -> None:
        begun = world.clock.now_ms()
        world.clock.advance(1_000)
        await world.store.fire(tick(begun, begun + 1_000), tick_message())
        assert await world.store.wait_for_bell(["coder"], timeout=SOON)
        assert await world.store.queues() == ["coder"]

    async def test_a_forgotten_schedule_goes_on_where_its_workers_know_it_to_be(
        self, world: World
    ) -> None:
        """As after a server was emptied: it knows nothing, but a worker knows the last tick."""
        world.clock.advance(10_000)
        now = world.clock.now_ms()
        fired = await world.store.fire(tick(now - 1_000, now), tick_message())
        assert fired == (Fired.FIRED, now, now)

    async def test_who_begins_anew_after_a_server_was_emptied_takes_no_tick_from_those_who_know(
        self, world: World
    ) -> None:
        """A worker that starts just then would count from now, and the tick that is due be lost."""
        world.clock.advance(10_000)
        now = world.clock.now_ms()
        assert (await world.store.last_tick("nightly", SAME)).last_ms == now
        known = tick(now - 5_000, now - 1_000)
        other = await world.store.fire(tick(now - 5_000, now - 1_000, digest=OTHER), tick_message())
        assert other == (Fired.MOVED_ON, now, now)
        fired = await world.store.fire(known, tick_message())
        assert fired == (Fired.FIRED, now - 1_000, now)
        assert await world.store.fire(known, tick_message()) == (Fired.MOVED_ON, now - 1_000, now)
        assert (await world.store.last_tick("nightly", SAME)).last_ms == now - 1_000

    async def test_the_digest_of_who_fires_is_what_the_schedule_has_then(
        self, world: World
    ) -> None:
        begun = world.clock.now_ms()
        await world.store.last_tick("nightly", SAME)
        world.clock.advance(2_000)
        await world.store.fire(tick(begun, begun + 2_000, digest=OTHER), tick_message())
        assert (await world.store.last_tick("nightly", OTHER)).last_ms == begun + 2_000
