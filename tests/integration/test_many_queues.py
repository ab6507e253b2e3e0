"""Who works for many queues asks those that are marked, and loses none."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.lane import Lane
from octoqueue.redis.client import RedisClient
from tests.contract.redis_worlds import redis_worlds
from tests.contract.world import (
    AT_ONCE,
    OPTIONS,
    SOON,
    A,
    World,
    fresh_namespace,
    lanes,
    message,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from octoqueue.primitives.messages import Lease, SessionId

QUEUES = [f"queue-{number}" for number in range(20)]


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[World]:
    async with redis_worlds(redis_url) as make:
        yield await make()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[RedisClient]:
    made = RedisClient(redis_url)
    yield made
    await made.aclose()


async def marks(client: RedisClient, world: World) -> set[bytes]:
    found = await client.command("SMEMBERS", marks_key(world))
    return {mark.split(b":")[-2] for mark in found}


def marks_key(world: World) -> str:
    return f"{{{world.store.options.namespace}:0}}:marks"


async def test_a_first_look_finds_what_was_stored_without_a_mark_and_sets_marks_right(
    world: World, client: RedisClient
) -> None:
    await world.put(*(message(queue=queue) for queue in ("queue-3", "queue-3", "queue-7")))
    await client.command("DEL", marks_key(world))
    assert len(await world.claim(1, queues=QUEUES)) == 1
    assert len(await marks(client, world)) in {1, 2}
    assert len(await world.claim(5, queues=QUEUES)) == 2


async def test_a_claim_takes_away_the_marks_of_lanes_it_has_emptied(
    world: World, client: RedisClient
) -> None:
    assert await world.claim(queues=QUEUES) == []
    await world.put(message(queue="queue-3"), message(queue="queue-3", lane=Lane.LOW))
    assert await marks(client, world) == {b"queue-3"}
    assert lanes(await world.claim(1, queues=QUEUES)) == [Lane.NORMAL]
    assert await marks(client, world) == {b"queue-3"}
    assert lanes(await world.claim(5, queues=QUEUES)) == [Lane.LOW]
    assert await marks(client, world) == set()
    await world.put(message(queue="queue-3"))
    assert len(await world.claim(5, queues=QUEUES)) == 1


async def test_a_bell_that_was_heard_is_passed_on_when_the_fill_came_from_other_queues(
    world: World,
) -> None:
    assert await world.claim(queues=QUEUES) == []
    for queue in QUEUES:
        await world.put(message(queue=queue, lane=Lane.LOW))
    for _ in QUEUES:
        assert await world.store.wait_for_bell(QUEUES, timeout=AT_ONCE)
    await world.put(message(queue="queue-0", lane=Lane.HIGH))
    assert await world.store.wait_for_bell(["queue-0"], timeout=AT_ONCE)
    claimed = 0
    while leases := await world.claim(1, queues=QUEUES):
        claimed += len(leases)
        if claimed < len(QUEUES) + 1:
            assert await world.store.wait_for_bell(QUEUES, timeout=timedelta(seconds=1))
    assert claimed == len(QUEUES) + 1


async def test_a_bell_that_was_heard_is_passed_on_by_who_never_came_to_its_lane(
    world: World,
) -> None:
    assert await world.claim(queues=QUEUES) == []
    await world.put(message(queue="queue-0", lane=Lane.LOW))
    assert await world.store.wait_for_bell(QUEUES, timeout=AT_ONCE)
    await world.put(*(message(queue=queue, lane=Lane.HIGH) for queue in QUEUES[1:9]))
    assert lanes(await world.claim(5, queues=QUEUES)) == [Lane.HIGH] * 5
    assert await world.store.wait_for_bell(["queue-0"], timeout=AT_ONCE)


async def test_a_bell_that_was_heard_is_passed_on_by_who_is_stopped_before_he_has_claimed(
    client: RedisClient,
) -> None:
    claims = asyncio.Event()

    class NeverClaims(RedisLaneStore):
        async def claim(
            self, session: SessionId, queues: Sequence[str], *, limit: int
        ) -> list[Lease]:
            del session, queues, limit
            claims.set()
            await asyncio.Event().wait()
            raise AssertionError

    store = NeverClaims(client, replace(OPTIONS, namespace=fresh_namespace()))
    await store.enqueue([[message(queue="queue-3")]])
    waiting = asyncio.create_task(store.claim_when_rung(A, QUEUES, limit=1, timeout=SOON))
    await claims.wait()
    assert not await store.wait_for_bell(["queue-3"], timeout=AT_ONCE)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await store.wait_for_bell(["queue-3"], timeout=AT_ONCE)
