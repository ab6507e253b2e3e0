"""The clock of Redis is set back by an hour: nothing stands still for an hour."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.primitives.gates import Gates
from tests.contract.gated import gated, per_second, uses
from tests.contract.redis_worlds import redis_worlds
from tests.contract.world import LEASE_MS, ONE_PARTITION, B, message, retry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.contract.world import World

HOUR_MS = 3_600_000


@pytest.fixture
async def one(redis_url: str) -> AsyncGenerator[World]:
    async with redis_worlds(redis_url) as make:
        yield await make(ONE_PARTITION)


async def test_a_limit_goes_on_where_it_was(one: World) -> None:
    await one.store.define(Gates(limits={"openai": per_second(10, burst=2)}))
    one.clock.advance(HOUR_MS)
    await one.put(*(gated(limits=uses()) for _ in range(5)))
    assert len(await one.claim()) == 2
    one.clock.advance(-HOUR_MS)
    assert (await one.store.promote("coder")).next_due == timedelta(milliseconds=100)
    assert await one.claim() == []
    one.clock.advance(100)
    (lease,) = await one.claim()
    one.clock.advance(100)
    assert len(await one.claim()) == 1
    one.clock.advance(100)
    await one.settle(retry(lease))  # its time has passed: nothing comes back
    assert len(await one.claim()) == 1
    one.clock.advance(HOUR_MS)
    assert len(await one.claim()) == 1


async def test_a_worker_that_died_before_is_missed_after_a_lease(one: World) -> None:
    one.clock.advance(HOUR_MS)
    await one.put(message())
    await one.claim()
    one.clock.advance(-HOUR_MS)
    assert await one.store.reclaim() == 0
    one.clock.advance(LEASE_MS)
    assert await one.store.reclaim() == 1
    assert len(await one.claim(session=B)) == 1
