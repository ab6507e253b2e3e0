"""What a lane store promises to those who wait for a result."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import StoreUnavailable
from octoqueue.primitives.ids import new_message_id
from tests.contract.world import (
    AT_ONCE,
    SOON,
    World,
    ack,
    message,
    messages,
)

if TYPE_CHECKING:
    from octoqueue.primitives.ids import MessageId


def waiting(world: World, message_id: MessageId) -> asyncio.Task[bytes | None]:
    return asyncio.create_task(world.store.wait_for_result(message_id, timeout=SOON))


class Results:
    async def test_there_is_no_result_before_it_is_kept(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        assert await world.store.result(lease.message_id) is None
        assert await world.store.wait_for_result(lease.message_id, timeout=AT_ONCE) is None

    async def test_a_result_kept_before_is_there_at_once(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        await world.settle(ack(lease, result=b"42"))
        assert await world.store.result(lease.message_id) == b"42"
        assert await world.store.wait_for_result(lease.message_id, timeout=SOON) == b"42"
        at_once = await world.store.wait_for_result(lease.message_id, timeout=timedelta(0))
        assert at_once == b"42"

    async def test_a_result_kept_later_wakes_its_waiter(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        waiter = waiting(world, lease.message_id)
        await asyncio.wait([waiter], timeout=0.02)
        await world.settle(ack(lease, result=b"42"))
        assert await waiter == b"42"

    async def test_a_result_kept_while_its_waiter_begins_is_not_missed(self, world: World) -> None:
        await world.put(*messages(20))
        for turns, lease in enumerate(await world.claim(20)):
            waiter = waiting(world, lease.message_id)
            for _ in range(turns):
                await asyncio.sleep(0)
            await world.settle(ack(lease, result=b"%d" % turns))
            assert await waiter == b"%d" % turns

    async def test_several_may_wait_for_the_same_result(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        waiters = [waiting(world, lease.message_id) for _ in range(5)]
        await asyncio.wait(waiters, timeout=0.02)
        waiters += [waiting(world, lease.message_id) for _ in range(5)]
        await world.settle(ack(lease, result=b"42"))
        assert await asyncio.gather(*waiters) == [b"42"] * 10

    async def test_hundreds_may_wait_at_once_each_for_its_own(self, world: World) -> None:
        await world.put(*messages(300))
        leases = await world.claim(300)
        waiters = [waiting(world, lease.message_id) for lease in leases]
        await world.settle(*(ack(lease, result=bytes(lease.message_id)) for lease in leases))
        assert await asyncio.gather(*waiters) == [lease.message_id for lease in leases]

    async def test_a_waiter_that_gives_up_leaves_the_others_waiting(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        for turns in range(8):
            first, second = waiting(world, lease.message_id), waiting(world, lease.message_id)
            for _ in range(turns):
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first])
            assert first.cancelled()
            second.cancel()
            await asyncio.wait([second])
        first, second = waiting(world, lease.message_id), waiting(world, lease.message_id)
        first.cancel()
        await asyncio.wait([first])
        await world.settle(ack(lease, result=b"42"))
        assert await second == b"42"

    async def test_waiting_again_after_giving_up_works(self, world: World) -> None:
        await world.put(*messages(5))
        for lease in await world.claim():
            given_up = [waiting(world, lease.message_id) for _ in range(3)]
            await asyncio.wait(given_up, timeout=0.01)
            for task in given_up:
                task.cancel()
            again = waiting(world, lease.message_id)
            await asyncio.wait(given_up)
            await world.settle(ack(lease, result=b"42"))
            assert await again == b"42"

    async def test_a_wait_that_is_over_returns_none_and_harms_no_other(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        patient = waiting(world, lease.message_id)
        for _ in range(3):
            assert await world.store.wait_for_result(lease.message_id, timeout=AT_ONCE) is None
        for timeout in (timedelta(0), timedelta(seconds=-1)):
            assert await world.store.wait_for_result(lease.message_id, timeout=timeout) is None
        await world.settle(ack(lease, result=b"42"))
        assert await patient == b"42"

    async def test_an_empty_result_is_a_result(self, world: World) -> None:
        await world.put(message())
        lease = await world.claim_one()
        waiter = waiting(world, lease.message_id)
        await asyncio.wait([waiter], timeout=0.02)
        await world.settle(ack(lease, result=b""))
        assert await waiter == b""
        assert await world.store.wait_for_result(lease.message_id, timeout=SOON) == b""


class Closing:
    async def test_closing_twice_is_closing_once(self, world: World) -> None:
        await world.put(message())
        await world.store.aclose()
        await world.store.aclose()


class Disconnecting:
    """What a store promises that has connections to lose."""

    async def test_closing_wakes_whoever_waits(self, world: World) -> None:
        """They are told the store is gone; cancelling them would look like their caller's wish."""
        waiters = [
            waiting(world, new_message_id()),
            asyncio.create_task(world.store.wait_for_bell(["coder"], timeout=SOON)),
        ]
        await asyncio.wait(waiters, timeout=0.05)
        await world.store.aclose()
        for waiter in waiters:
            with pytest.raises(StoreUnavailable):
                await waiter
