"""What a lane store promises about pausing queues and about the life of single messages."""

from __future__ import annotations

import asyncio

from octoqueue.primitives.envelope import unpack_header
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Lease, Outcome, Settlement
from tests.contract.world import AT_ONCE, SOON, World, ack, ids, message, messages, neighbours


def snooze(lease: Lease, *, delay_ms: int = 0) -> Settlement:
    return Settlement(lease=lease, outcome=Outcome.SNOOZE, delay_ms=delay_ms)


class Pausing:
    async def test_a_paused_queue_gives_nothing_until_it_is_resumed(self, world: World) -> None:
        sent = messages(20)
        await world.put(*sent)
        await world.store.pause("coder")
        assert await world.claim() == []
        await world.store.resume("coder")
        assert set(ids(await world.claim())) == set(ids(sent))

    async def test_what_goes_into_a_paused_queue_waits(self, world: World) -> None:
        await world.store.pause("coder")
        await world.put(*messages(5), message(delay_ms=10))
        world.clock.advance(10)
        await world.store.promote("coder")
        assert await world.claim() == []
        stats = await world.store.stats("coder")
        assert (stats.paused, stats.waiting, stats.in_flight) == (True, 6, 0)
        assert "paused" not in stats.counters
        await world.store.resume("coder")
        assert not (await world.store.stats("coder")).paused
        assert len(await world.claim()) == 6

    async def test_other_queues_go_on(self, world: World) -> None:
        await world.store.pause("coder")
        await world.put(*messages(3), *[message(queue="judge") for _ in range(3)])
        leases = await world.claim(queues=["coder", "judge"])
        assert [lease.queue for lease in leases] == ["judge"] * 3

    async def test_what_runs_may_end(self, world: World) -> None:
        await world.put(message(), message())
        one, two = await world.claim()
        await world.store.pause("coder")
        await world.settle(ack(one), snooze(two))
        assert await world.claim() == []
        await world.store.resume("coder")
        assert ids(await world.claim()) == [two.message_id]

    async def test_resuming_rings(self, world: World) -> None:
        await world.store.pause("coder")
        await world.put(message())
        await world.store.wait_for_bell(["coder"], timeout=AT_ONCE)
        waiting = asyncio.create_task(world.store.wait_for_bell(["coder"], timeout=SOON))
        await asyncio.sleep(0)
        await world.store.resume("coder")
        assert await waiting

    async def test_nobody_passes_on_the_bell_of_a_paused_queue(self, world: World) -> None:
        await world.put(*messages(5), *[message(queue="judge") for _ in range(2)])
        await world.store.pause("coder")
        for queue in ("coder", "judge"):
            await world.store.wait_for_bell([queue], timeout=AT_ONCE)
        await world.claim(2, queues=["coder", "judge"])
        assert not await world.store.wait_for_bell(["coder"], timeout=AT_ONCE)

    async def test_pausing_and_resuming_twice_is_pausing_and_resuming(self, world: World) -> None:
        for _ in range(2):
            await world.store.pause("coder")
        assert (await world.store.stats("coder")).paused
        for _ in range(2):
            await world.store.resume("coder")
        assert not (await world.store.stats("coder")).paused
        assert "coder" in await world.store.queues()


class Snoozing:
    async def test_a_snoozed_message_comes_back_later_without_an_attempt(
        self, world: World
    ) -> None:
        await world.put(message("body", lane=Lane.LOW))
        await world.settle(snooze(await world.claim_one(), delay_ms=500))
        assert await world.claim() == []
        assert (await world.store.stats("coder")).delayed == 1
        world.clock.advance(500)
        await world.store.promote("coder")
        lease = await world.claim_one()
        header = unpack_header(lease.payload)
        assert (header.attempt, header.deliveries, header.lane) == (0, 0, Lane.LOW)
        assert header.ready_at_ms == world.clock.now_ms()

    async def test_it_keeps_the_attempts_it_had_and_forgets_deliveries(self, world: World) -> None:
        await world.put(message())
        await world.settle(
            Settlement(lease=await world.claim_one(), outcome=Outcome.RETRY, delay_ms=0)
        )
        await world.claim_one()
        world.clock.advance(20_000)
        await world.store.reclaim()
        again = await world.claim_one()
        assert unpack_header(again.payload).deliveries == 1
        await world.settle(snooze(again))
        header = unpack_header((await world.claim_one()).payload)
        assert (header.attempt, header.deliveries) == (1, 0)

    async def test_it_goes_to_the_tail_and_is_counted(self, world: World) -> None:
        first, second = neighbours(2)
        await world.put(first, second)
        await world.settle(snooze(await world.claim_one()))
        assert ids(await world.claim()) == ids([second, first])
        stats = await world.store.stats("coder")
        assert (stats.counters["snoozed"], stats.in_flight) == (1, 2)
        assert "retried" not in stats.counters
