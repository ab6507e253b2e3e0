"""Cancelled in any instant: nothing is lost, nothing leaks, and the cancellation is heard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import pytest
import redis

from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.redis.client import RedisClient
from tests.contract.redis_worlds import redis_world
from tests.contract.world import (
    SOON,
    A,
    World,
    ack,
    ids,
    message,
    messages,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

T = TypeVar("T")
INSTANTS = 40
"""Turns of the event loop after which to cancel: more than any command takes."""
NAME = "cancelled-in-any-instant"


@pytest.fixture(params=[True, False], ids=["pipelined", "through redis-py"])
async def client(redis_url: str, request: pytest.FixtureRequest) -> AsyncGenerator[RedisClient]:
    client = RedisClient(redis_url, pool_size=8, name=NAME, pipelining=request.param)
    yield client
    await client.aclose()


@pytest.fixture
async def world(client: RedisClient) -> AsyncGenerator[World]:
    world = redis_world(client)
    yield world
    await world.store.aclose()


async def cancelled_after(turns: int, work: Coroutine[object, object, T]) -> T | None:
    """What the work returned if it was done before; it must end, one way or the other."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    assert done, "it did not hear its cancellation"
    return None if task.cancelled() else task.result()


def connections(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return sum(other["name"] == NAME for other in client.client_list())


async def test_a_loop_around_a_command_always_hears_its_cancellation(client: RedisClient) -> None:
    """redis-py sends under `asyncio.wait_for`, which before Python 3.12 swallowed half of them."""

    async def for_ever() -> None:
        while True:
            await client.command("PING")

    for turns in range(INSTANTS):
        await cancelled_after(turns, for_ever())


async def test_a_loop_around_the_doorbell_always_hears_its_cancellation(world: World) -> None:
    async def for_ever() -> None:
        while True:
            await world.store.ring(["coder"])
            await world.store.wait_for_bell(["coder"], timeout=SOON)

    for turns in range(INSTANTS):
        await cancelled_after(turns, for_ever())


async def test_a_cancelled_claim_at_the_bell_loses_no_message_and_no_bell(world: World) -> None:
    sent = messages(INSTANTS * 2)
    await world.put(*sent)
    await world.store.extend(A)
    for turns in range(INSTANTS):
        await cancelled_after(
            turns, world.store.claim_when_rung(A, ["coder"], limit=2, timeout=SOON)
        )
    held = await world.store.held(A, ["coder"])
    assert await world.store.wait_for_bell(["coder"], timeout=SOON)
    rest = await world.claim(INSTANTS * 2)
    assert sorted(ids(held) + ids(rest)) == sorted(ids(sent))


async def test_a_cancelled_claim_loses_no_message(world: World) -> None:
    sent = messages(INSTANTS * 2)
    await world.put(*sent)
    await world.store.extend(A)
    for turns in range(INSTANTS):
        await cancelled_after(turns, world.claim(2))
    held = await world.store.held(A, ["coder"])
    rest = await world.claim(INSTANTS * 2)
    assert sorted(ids(held) + ids(rest)) == sorted(ids(sent))


async def test_a_cancelled_commit_took_effect_once_or_not_at_all(world: World) -> None:
    await world.put(*messages(INSTANTS))
    leases = await world.claim(INSTANTS)
    ends = [ack(x, message(queue="judge", beside=x.message_id)) for x in leases]
    for turns, end in enumerate(ends):
        await cancelled_after(turns, world.store.commit(A, settlements=[end]))
    held = await world.store.held(A, ["coder"])
    assert (await world.depth("judge"))[1] == INSTANTS - len(held)
    await world.store.commit(A, settlements=ends)
    assert await world.depth("judge") == (0, INSTANTS, 0)


async def test_a_cancelled_enqueue_stored_its_group_or_nothing_of_it(world: World) -> None:
    for turns in range(INSTANTS):
        await cancelled_after(turns, world.store.enqueue([messages(3)]))
    depth = sum(await world.depth())
    assert depth % 3 == 0
    assert len(await world.claim(1_000)) == depth


async def test_cancelled_calls_give_their_connections_back(redis_url: str, world: World) -> None:
    for turns in range(INSTANTS):
        await cancelled_after(turns, world.store.stats("coder"))
        await cancelled_after(turns, world.store.wait_for_bell(["coder"], timeout=SOON))
    # The pool waits for a connection when it has none: as many at once as it may have.
    async with asyncio.timeout(5):
        await asyncio.gather(*(world.store.stats("coder") for _ in range(20)))
        await asyncio.gather(*(world.store.stats("coder") for _ in range(20)))
    assert connections(redis_url) <= 8 + 2


async def test_a_bell_token_is_never_lost_with_who_took_it(world: World) -> None:
    for turns in range(INSTANTS):
        await world.store.ring(["coder"])
        heard = await cancelled_after(
            turns, world.store.wait_for_bell(["coder", "judge"], timeout=SOON)
        )
        if heard is None:
            async with asyncio.timeout(5):
                while not await world.store.wait_for_bell(["coder"], timeout=SOON):
                    pass
        else:
            assert heard is True


async def test_waiters_that_gave_up_leave_no_subscription_behind(
    redis_url: str, world: World
) -> None:
    await world.put(*messages(INSTANTS))
    leases = await world.claim(INSTANTS)
    for turns, lease in enumerate(leases):
        await cancelled_after(turns, world.store.wait_for_result(lease.message_id, timeout=SOON))
    assert isinstance(world.store, RedisLaneStore)
    assert not world.store._results._wishes
    pattern = f"{world.store.options.namespace}:*"
    with redis.Redis.from_url(redis_url) as other:
        async with asyncio.timeout(5):
            await until(lambda: not other.pubsub_channels(pattern))
    await world.settle(*(ack(lease, result=b"1") for lease in leases))
    found = [world.store.wait_for_result(lease.message_id, timeout=SOON) for lease in leases]
    assert await asyncio.gather(*found) == [b"1"] * INSTANTS


async def test_a_first_waiter_cancelled_while_it_connects_leaves_the_second_listening(
    redis_url: str,
) -> None:
    for turns in range(INSTANTS):
        world = redis_world(RedisClient(redis_url))
        await world.put(message())
        lease = await world.claim_one()
        patient = asyncio.create_task(world.store.wait_for_result(lease.message_id, timeout=SOON))
        first = world.store.wait_for_result(lease.message_id, timeout=SOON)
        await cancelled_after(turns, first)
        await world.settle(ack(lease, result=b"1"))
        assert await patient == b"1"
        await world.store.aclose()


async def test_closing_in_any_instant_of_a_wait_ends(redis_url: str) -> None:
    for turns in range(INSTANTS):
        world = redis_world(RedisClient(redis_url))
        waiters = [
            asyncio.create_task(world.store.wait_for_result(one.message_id, timeout=SOON))
            for one in messages(3)
        ]
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await world.store.aclose()
            await asyncio.gather(*waiters, return_exceptions=True)
