from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import StoreProtocolError
from octoqueue.metrics.redis_scaling_memory import RedisScalingMemory
from octoqueue.redis.client import RedisClient
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_scaling import MemoryScalingMemory
from tests.contract.scaling_memory import (
    FLEET,
    HOUR,
    MemoryWorld,
    WholeScalingMemory,
    decision,
)
from tests.contract.world import fresh_namespace

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@contextlib.asynccontextmanager
async def on_redis(url: str, *, cluster: bool = False) -> AsyncGenerator[MemoryWorld]:
    clock, client = FakeClock(), RedisClient(url, cluster=cluster)
    try:
        namespace = fresh_namespace()
        memory = RedisScalingMemory(client, namespace=namespace, now_ms=clock.now_ms)
        yield MemoryWorld(memory, clock)
    finally:
        await client.aclose()


class TestInMemory(WholeScalingMemory):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        clock = FakeClock()
        return MemoryWorld(MemoryScalingMemory(clock=clock), clock)


class TestOnRedis(WholeScalingMemory):
    @pytest.fixture
    async def world(self, redis_url: str) -> AsyncGenerator[MemoryWorld]:
        async with on_redis(redis_url) as world:
            yield world


class TestOnRedisCluster(WholeScalingMemory):
    """It refuses a script whose keys do not share a slot."""

    @pytest.fixture
    async def world(self, one_node_url: str) -> AsyncGenerator[MemoryWorld]:
        async with on_redis(one_node_url, cluster=True) as world:
            yield world


async def test_without_a_clock_of_a_test_the_servers_counts(redis_url: str) -> None:
    client = RedisClient(redis_url)
    memory = RedisScalingMemory(client, namespace=fresh_namespace())
    try:
        seconds, _ = await client.command("TIME")
        assert abs((await memory.recall("executor")).now_ms - int(seconds) * 1000) < 60_000
    finally:
        await client.aclose()


class TestWhatAnotherVersionWrote:
    @pytest.fixture
    async def world(self, redis_url: str) -> AsyncGenerator[tuple[MemoryWorld, RedisClient, str]]:
        clock, client, namespace = FakeClock(), RedisClient(redis_url), fresh_namespace()
        memory = RedisScalingMemory(client, namespace=namespace, now_ms=clock.now_ms)
        yield MemoryWorld(memory, clock), client, f"{{{namespace}:fleet:{FLEET}}}"
        await client.aclose()

    @pytest.mark.parametrize("record", ["", "{}", "[]", "null", '{"workers": "many"', "\x00"])
    async def test_what_can_be_decided_without_counts_as_not_there(
        self, world: tuple[MemoryWorld, RedisClient, str], record: str
    ) -> None:
        """As an error it would be one for good: nobody who cannot read writes it anew."""
        (memory, clock), client, keys = world
        now = clock.now_ms()
        await memory.remember(decision(now))
        await memory.set_override(FLEET, 2, lasting=HOUR, said_by="ada")
        await client.command("HSET", f"{keys}:memory", "decision", record, "forecast", record)
        await client.command("LPUSH", f"{keys}:decisions", record)
        await client.command("LPUSH", f"{keys}:leads", record, "[1, 2, 3.5]", '["a", 2, 3]')
        found = await memory.recall(FLEET)
        assert (found.decision, found.forecast) == (None, None)
        assert (found.lead_seconds, len(found.leads)) == (3.5, 1)
        assert found.override is not None
        assert await memory.recent(FLEET) == (decision(now),)
        assert (await memory.remember(decision(now))).is_last
        assert (await memory.recall(FLEET)).decision == decision(now)

    async def test_an_order_that_cannot_be_read_is_an_error(
        self, world: tuple[MemoryWorld, RedisClient, str]
    ) -> None:
        (memory, _), client, keys = world
        await memory.set_override(FLEET, 2, lasting=HOUR, said_by="ada")
        await client.command("HSET", f"{keys}:memory", "override", "{}")
        with pytest.raises(StoreProtocolError, match="an override"):
            await memory.recall(FLEET)
        assert await memory.clear_override(FLEET)
        assert (await memory.recall(FLEET)).override is None
