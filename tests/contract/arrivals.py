"""Every message counts as one arrival, in its lane, however it comes; what is refused as none."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.primitives.gates import Gates
from octoqueue.primitives.lane import Lane
from tests.contract.enqueuing_once import send
from tests.contract.gated import gated, per_second, uses
from tests.contract.schedules import SAME, tick, tick_message
from tests.contract.unique import unique
from tests.contract.world import (
    LEASE_MS,
    ONE_PARTITION,
    MakesStores,
    World,
    ack,
    message,
    messages,
    release,
    retry,
)

if TYPE_CHECKING:
    from octoqueue.primitives.messages import Enqueue


async def arrived(world: World, queue: str = "coder") -> list[int]:
    (found,) = (await world.store.read_signals([queue], due_within=timedelta(0))).queues
    return [lane.arrivals.within(600) for lane in found.lanes.values()]


class CountingArrivals:
    async def test_messages_with_gates_and_delays_and_keys_arrive_once(self, world: World) -> None:
        await world.put(
            gated("a", lane=Lane.HIGH), gated("a", lane=Lane.LOW, delay_ms=500), gated("b")
        )
        await world.put(unique("one"), unique("two", lane=Lane.LOW, delay_ms=500))
        assert await arrived(world) == [1, 2, 2]
        world.clock.advance(1_000)
        await world.store.promote("coder")
        assert await arrived(world) == [1, 2, 2]

    async def test_a_message_whose_key_is_taken_does_not_arrive(self, world: World) -> None:
        await world.put(unique("one"))
        await world.store.enqueue([[unique("one")]])
        refused = unique("one", refuse=True)
        await world.store.enqueue([[refused, message(beside=refused.message_id)]])
        assert await arrived(world) == [0, 1, 0]
        lease = await world.claim_one()
        follow_up = unique("three", queue="judge", beside=lease.message_id)
        await world.put(unique("two", beside=lease.message_id))
        taken = unique("two", queue="judge", beside=lease.message_id)
        await world.settle(ack(lease, follow_up, taken))
        assert await arrived(world, "judge") == [0, 1, 0]

    async def test_a_group_that_has_no_room_does_not_arrive(self, make: MakesStores) -> None:
        narrow = await make(ONE_PARTITION)

        def group(count: int, lane: Lane = Lane.NORMAL) -> list[Enqueue]:
            return [message(queue="narrow", lane=lane) for _ in range(count)]

        await narrow.store.enqueue([group(2), group(2), group(1)])
        mixed = [*group(1, Lane.LOW), *group(3, Lane.HIGH)]
        await narrow.store.enqueue([mixed])
        assert await arrived(narrow, "narrow") == [0, 3, 0]

    async def test_what_a_relay_sends_again_arrives_once(self, world: World) -> None:
        sent = [*messages(3), message(lane=Lane.LOW, delay_ms=900)]
        await send(world, *sent[:2])
        await send(world, *sent)
        await send(world, *sent)
        assert await arrived(world) == [0, 3, 1]

    async def test_a_tick_arrives_when_it_is_fired_and_no_second_time(self, world: World) -> None:
        stands = await world.store.last_tick("nightly", SAME)
        world.clock.advance(1_000)
        due = tick(stands.now_ms, stands.now_ms + 500)
        for _ in range(3):
            await world.store.fire(due, tick_message(lane=Lane.HIGH))
        assert await arrived(world) == [1, 0, 0]

    async def test_who_is_moved_reclaimed_released_or_opened_does_not_arrive_again(
        self, world: World
    ) -> None:
        await world.store.define(Gates(limits={"openai": per_second(1, burst=1)}))
        await world.put(*messages(3), gated(limits=uses()), gated(limits=uses()))
        assert await arrived(world) == [0, 5, 0]
        first, *rest = await world.claim(3)
        await world.settle(release(first), *(retry(lease, delay_ms=5) for lease in rest))
        world.clock.advance(2_000)
        await world.store.promote("coder")
        found = await world.claim(1)
        await world.settle(*map(release, found))
        await world.store.move(found[0].message_id, Lane.HIGH, queue="coder")
        await world.claim(5)
        world.clock.advance(LEASE_MS + 1)
        await world.store.reclaim()
        assert await arrived(world) == [0, 5, 0]
