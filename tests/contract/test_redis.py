from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.lane_store import LaneStoreContract, WholeNamespaceContract
from tests.contract.redis_worlds import redis_worlds
from tests.contract.results import Disconnecting

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.contract.world import MakesStores, World


class OnRedis(LaneStoreContract, Disconnecting):
    @pytest.fixture
    async def world(self, make: MakesStores) -> World:
        return await make()


class TestOneScriptForAllPartitions(OnRedis, WholeNamespaceContract):
    @pytest.fixture
    async def make(self, redis_url: str) -> AsyncGenerator[MakesStores]:
        async with redis_worlds(redis_url) as make:
            yield make


class TestThroughRedisPy(OnRedis, WholeNamespaceContract):
    """The same without a connection of our own."""

    @pytest.fixture
    async def make(self, redis_url: str) -> AsyncGenerator[MakesStores]:
        async with redis_worlds(redis_url, pipelining=False) as make:
            yield make


class TestOneScriptAPartition(OnRedis):
    """As for a cluster, on a server that refuses keys of different slots in one script."""

    @pytest.fixture
    async def make(self, one_node_url: str) -> AsyncGenerator[MakesStores]:
        async with redis_worlds(one_node_url, per_partition=True) as make:
            yield make


class TestRedisCluster(OnRedis):
    @pytest.fixture
    async def make(self, three_node_url: str) -> AsyncGenerator[MakesStores]:
        async with redis_worlds(three_node_url, cluster=True) as make:
            yield make
