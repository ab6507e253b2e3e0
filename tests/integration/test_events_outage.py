"""Followers of events whose connection is cut, again and again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.errors import StoreUnavailable
from octoqueue.lanes.options import LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.ids import new_message_id
from octoqueue.redis.client import RedisClient
from tests.contract.events import Following, claimed, emit
from tests.contract.redis_worlds import redis_world, redis_worlds
from tests.contract.world import ack
from tests.running import SHORTLY, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue import MessageHandle
    from tests.contract.world import World


@pytest.fixture
async def world(redis_url: str) -> AsyncGenerator[World]:
    async with redis_worlds(redis_url) as make:
        yield await make()


def client_of(world: World) -> RedisClient:
    assert isinstance(world.store, RedisLaneStore)
    return world.store._client


async def test_a_cut_subscription_costs_no_follower_an_event_and_doubles_none(world: World) -> None:
    lease = await claimed(world)
    followers = [Following(world, lease.message_id) for _ in range(20)]
    client = client_of(world)
    for number in range(300):
        await emit(world, lease, str(number), first=number + 1)
        if number % 100 == 50:
            for follower in followers:
                assert len(await follower.heard(number + 1)) == number + 1
            await client.command("CLIENT", "KILL", "TYPE", "pubsub")
    await world.settle(ack(lease))
    everything = [*map(str, range(300)), "ended succeeded"]
    for follower in followers:
        assert await follower.all() == everything


async def test_all_followers_of_a_process_share_one_connection_and_leave_it_empty(
    world: World,
) -> None:
    client = client_of(world)
    before = await subscribers(client)
    followers = [Following(world, new_message_id()) for _ in range(500)]
    lease = await claimed(world)
    followers += [Following(world, lease.message_id) for _ in range(100)]
    await emit(world, lease, "a")
    for follower in followers[500:]:
        assert await follower.heard(1) == ["a"]
    assert await subscribers(client) == before + 1
    for follower in followers:
        await follower.stop()
    await until_nobody_listens(client, world)


async def test_who_stops_listening_without_a_word_is_forgotten(redis_url: str) -> None:
    options = LaneOptions(namespace=f"t{uuid4().hex[:8]}")
    broker = LaneBroker(redis_url, options=options)

    @octoqueue.actor(broker=broker, events=True)
    async def stream() -> None:
        message = octoqueue.current_message()
        assert message is not None
        message.emit(1)
        await asyncio.sleep(60)

    async def first(handle: MessageHandle[None]) -> object:
        async for event in handle.events(timeout=SHORTLY):
            if event.kind == "emitted":
                return event.data
        return None

    async with broker.connected(), running(broker, drain=timedelta(0)):
        assert await first(await stream.asend()) == 1
        store = broker.store()
        assert isinstance(store, RedisLaneStore)
        await until(lambda: store._channels == {})


async def until_nobody_listens(client: RedisClient, world: World) -> None:
    async def nobody_listens() -> bool:
        channels = f"{world.store.options.namespace}:events:*"
        return not await client.command("PUBSUB", "CHANNELS", channels)

    await until(nobody_listens)


async def subscribers(client: RedisClient) -> int:
    listed: bytes = await client.command("CLIENT", "LIST", "TYPE", "pubsub")
    return listed.count(b"\n")


async def test_a_follower_is_told_when_there_is_nothing_to_follow_on() -> None:
    world = redis_world(RedisClient("redis://127.0.0.1:1/0"))
    follower = Following(world, new_message_id())
    with pytest.raises(StoreUnavailable):
        await follower.all()
    await world.store.aclose()


async def test_closing_the_store_tells_whoever_follows(world: World) -> None:
    follower = Following(world, new_message_id())
    await asyncio.wait([follower.task], timeout=0.05)
    await world.store.aclose()
    with pytest.raises(StoreUnavailable, match="closed"):
        await follower.all()
