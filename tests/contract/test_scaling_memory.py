from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from octoqueue.metrics.redis_scaling_memory import RedisScalingMemory
from octoqueue.redis.client import RedisClient
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_scaling import MemoryScalingMemory
from tests.contract.scaling_memory import MemoryWorld, WholeScalingMemory
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
