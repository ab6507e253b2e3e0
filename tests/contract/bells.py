"""What a lane store promises to those who wait for work."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.primitives.lane import Lane
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
    message,
    messages,
    neighbours,
    release,
    retry,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.primitives.messages import SessionId


def waiting(world: World, *queues: str) -> asyncio.Task[bool]:
    return asyncio.create_task(world.store.wait_for_bell(queues or ["coder"], timeout=SOON))


async def heard(tasks: Sequence[asyncio.Task[bool]]) -> tuple[int, list[asyncio.Task[bool]]]:
    """How many of the waiters woke, once one of them did, and who still waits."""
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert all(task.result() for task in done)
    return len(done), list(pending)


async def silence(world: World, *queues: str) -> bool:
    """Whether no bell of these queues has an unheard token."""
    return not await world.store.wait_for_bell(queues or ["coder"], timeout=AT_ONCE)


class QuietBells:
    """What only a store can promise whose scripts ring by themselves."""

    async def test_a_delayed_message_that_is_not_the_next_due_wakes_nobody(
        self, world: World
    ) -> None:
        first = message(delay_ms=100)
        await world.put(first)
        assert not await silence(world)
        await world.put(message(delay_ms=200, beside=first.message_id))
        assert await silence(world)

    async def test_who_took_the_last_message_wakes_nobody(self, world: World) -> None:
        await world.put(*messages(5))
        assert not await silence(world)
        assert len(await world.claim(5)) == 5
        assert await silence(world)

    async def test_a_refused_message_wakes_nobody(self, make: MakesStores) -> None:
        world = await make(ONE_PARTITION)
        await world.put(*(message(queue="narrow", lane=Lane.HIGH) for _ in range(2)))
        assert not await silence(world, "narrow")
        await world.store.enqueue([[message(queue="narrow", lane=Lane.HIGH)]])
        assert await silence(world, "narrow")


class Bells:
    async def test_a_bell_nobody_hears_is_not_lost(self, world: World) -> None:
        await world.put(message())
        assert await world.store.wait_for_bell(["coder"], timeout=SOON) is True

    async def test_a_bell_wakes_who_waits(self, world: World) -> None:
        waiter = waiting(world)
        await world.put(message())
        assert await waiter is True

    async def test_no_bell_is_false_when_the_time_is_over(self, world: World) -> None:
        assert await world.store.wait_for_bell(["coder"], timeout=AT_ONCE) is False

    async def test_a_wait_of_no_time_looks_and_returns(self, world: World) -> None:
        for timeout in (timedelta(0), timedelta(microseconds=1), timedelta(seconds=-1)):
            assert await world.store.wait_for_bell(["coder"], timeout=timeout) is False
        await world.store.ring(["coder"])
        assert await world.store.wait_for_bell(["coder"], timeout=timedelta(0)) is True

    async def test_many_messages_leave_one_token(self, world: World) -> None:
        for one in messages(5):
            await world.put(one)
        assert not await silence(world)
        assert await silence(world)
        await world.store.ring(["coder"])
        await world.store.ring(["coder"])
        assert not await silence(world)
        assert await silence(world)

    async def test_a_bell_wakes_exactly_one_of_several_waiters(self, world: World) -> None:
        waiters = [waiting(world) for _ in range(10)]
        for left in range(10, 0, -1):
            await world.store.ring(["coder"])
            woken, waiters = await heard(waiters)
            assert (woken, len(waiters)) == (1, left - 1)

    async def test_a_waiter_hears_any_of_its_queues_and_no_other(self, world: World) -> None:
        coder, judge = waiting(world, "coder"), waiting(world, "judge", "guardian")
        await world.put(message(queue="guardian"))
        assert await judge is True
        assert not coder.done()
        await world.store.ring(["coder"])
        assert await coder is True

    async def test_who_took_its_fill_passes_the_bell_on(self, world: World) -> None:
        await world.put(*messages(10))
        assert not await silence(world)
        assert len(await world.claim(6)) == 6
        assert not await silence(world)
        await world.claim(6)
        assert await silence(world)

    async def test_a_bell_taken_for_one_queue_is_passed_on_when_another_gave_the_fill(
        self, world: World
    ) -> None:
        """Waiting for two queues takes the token of one; what waits there must not sleep."""
        await world.put(*messages(4), message(queue="judge"))
        assert not await silence(world, "judge")  # the token of judge is taken here
        first = await world.claim(4, queues=["coder", "judge"])
        assert len(first) == 4
        left = {"coder", "judge"} if len({lease.queue for lease in first}) == 2 else {"judge"}
        assert not await silence(world, *left)

    async def test_an_empty_queue_stays_silent(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        await world.store.commit(A, acks=[lease])
        await world.claim()
        await world.store.wait_for_bell(["coder"], timeout=AT_ONCE)
        await world.claim()
        assert await silence(world)

    async def test_everything_that_makes_a_message_claimable_rings(self, world: World) -> None:
        await world.put(*neighbours(4))
        one, two, three, _ = await world.claim()
        await world.store.wait_for_bell(["coder"], timeout=AT_ONCE)
        await world.settle(release(one))
        assert not await silence(world)
        await world.settle(retry(two))
        assert not await silence(world)
        await world.settle(ack(three, message(queue="judge", beside=three.message_id)))
        assert not await silence(world, "judge")
        world.clock.advance(LEASE_MS)
        await world.store.reclaim()
        assert not await silence(world)

    async def test_promoting_rings(self, world: World) -> None:
        await world.put(message(delay_ms=100))
        await world.store.wait_for_bell(["coder"], timeout=AT_ONCE)
        world.clock.advance(100)
        await world.store.promote("coder")
        assert not await silence(world)

    async def test_a_delayed_message_that_becomes_the_next_due_rings(self, world: World) -> None:
        """Whoever sleeps until the next is due must learn of an earlier moment."""
        for delay_ms in (200, 100, 50):
            await world.put(message(delay_ms=delay_ms))
            assert not await silence(world)

    async def test_a_cancelled_waiter_takes_no_bell_with_it(self, world: World) -> None:
        for _ in range(20):
            waiter = waiting(world)
            ringing = asyncio.create_task(world.store.ring(["coder"]))
            await asyncio.sleep(0)
            waiter.cancel()
            await asyncio.wait([waiter, ringing])
            if waiter.cancelled():
                assert not await silence(world)
            else:
                assert waiter.result() is True

    async def test_messages_are_never_left_while_workers_wait(self, world: World) -> None:
        """Workers that sleep on the bell and claim less than there is drain a queue."""
        done = set[bytes]()
        finished = asyncio.Event()

        async def work(session: SessionId) -> None:
            while not finished.is_set():
                leases = await world.claim(3, session=session)
                if leases:
                    await world.store.commit(session, acks=leases)
                    done.update(lease.message_id for lease in leases)
                    if len(done) == 60:
                        finished.set()
                    continue
                await world.store.wait_for_bell(["coder"], timeout=SOON)

        async with asyncio.timeout(8), asyncio.TaskGroup() as group:
            workers = [group.create_task(work(session)) for session in (A, B)]
            for _ in range(6):
                await world.put(*messages(10))
            await finished.wait()
            for worker in workers:
                worker.cancel()


class ClaimsAtTheBell:
    async def test_a_bell_that_rang_before_is_heard_at_once_with_what_it_rang_for(
        self, world: World
    ) -> None:
        sent = message()
        await world.put(sent)
        rung, leases = await world.store.claim_when_rung(A, ["coder"], limit=10, timeout=SOON)
        assert rung is True
        assert [lease.message_id for lease in leases] == [sent.message_id]
        assert await silence(world)

    async def test_who_waits_is_woken_and_leased_what_came(self, world: World) -> None:
        await world.store.extend(A)
        waiter = asyncio.create_task(
            world.store.claim_when_rung(A, ["coder", "judge"], limit=10, timeout=SOON)
        )
        sent = message(queue="judge")
        await world.put(sent)
        rung, leases = await waiter
        assert rung is True
        assert [lease.message_id for lease in leases] == [sent.message_id]
        assert await world.store.held(A, ["judge"]) == leases

    async def test_when_no_bell_rings_it_claims_all_the_same(self, world: World) -> None:
        await world.put(*messages(3))
        assert not await silence(world)
        rung, leases = await world.store.claim_when_rung(A, ["coder"], limit=2, timeout=AT_ONCE)
        assert (rung, len(leases)) == (False, 2)

    async def test_a_bell_without_a_message_is_used_up(self, world: World) -> None:
        await world.store.ring(["coder"])
        answer = await world.store.claim_when_rung(A, ["coder"], limit=2, timeout=SOON)
        assert answer == (True, [])
        assert await silence(world)

    async def test_a_session_that_was_unknown_is_registered_and_claims(self, world: World) -> None:
        await world.put(message())
        rung, leases = await world.store.claim_when_rung(B, ["coder"], limit=1, timeout=SOON)
        assert (rung, len(leases)) == (True, 1)
        assert await world.store.extend(B) is True

    async def test_who_takes_its_fill_passes_the_bell_on(self, world: World) -> None:
        await world.put(*messages(3))
        await world.store.claim_when_rung(A, ["coder"], limit=2, timeout=SOON)
        rung, leases = await world.store.claim_when_rung(B, ["coder"], limit=2, timeout=SOON)
        assert (rung, len(leases)) == (True, 1)

    async def test_one_that_gives_up_leaves_bell_and_message_to_the_next(
        self, world: World
    ) -> None:
        await world.store.extend(A)
        waiter = asyncio.create_task(
            world.store.claim_when_rung(A, ["coder"], limit=10, timeout=SOON)
        )
        await asyncio.sleep(0)
        sent = message()
        await world.put(sent)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        held = await world.store.held(A, ["coder"])
        if not held:
            _, held = await world.store.claim_when_rung(B, ["coder"], limit=1, timeout=SOON)
        assert [lease.message_id for lease in held] == [sent.message_id]
