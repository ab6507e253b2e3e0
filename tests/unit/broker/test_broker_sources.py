from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.sources import FactorySource
from octoqueue.lanes.options import LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.settings.root import Settings
from octoqueue.testing.memory_lanes import MemoryLaneStore

if TYPE_CHECKING:
    import pytest

SETTINGS = Settings.model_validate(
    {"namespace": "other", "redis": {"url": "redis://configured:1"}, "lanes": {"partitions": 3}}
)


async def opened(broker: LaneBroker) -> RedisLaneStore:
    store = await broker.another_store()
    assert isinstance(store, RedisLaneStore)
    await store.aclose()
    return store


async def test_a_broker_without_a_url_goes_where_the_configuration_says() -> None:
    broker = LaneBroker()
    broker.configure(SETTINGS)
    store = await opened(broker)
    assert store._client.url == "redis://configured:1"
    assert store.options.namespace == "other"


async def test_a_url_in_the_program_is_not_overridden_by_the_configuration() -> None:
    broker = LaneBroker("redis://mine:2")
    broker.configure(SETTINGS)
    store = await opened(broker)
    assert store._client.url == "redis://mine:2"
    assert store.options.partitions == 3


async def test_a_broker_with_a_url_reads_the_rest_as_its_workers_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OCTOQUEUE_NAMESPACE", "theirs")
    monkeypatch.setenv("OCTOQUEUE_REDIS_URL", "redis://configured:1")
    store = await opened(LaneBroker("redis://mine:2"))
    assert (store._client.url, store.options.namespace) == ("redis://mine:2", "theirs")
    store = await opened(LaneBroker("redis://mine:2", options=LaneOptions(namespace="own")))
    assert store.options.namespace == "own"


async def test_a_source_of_ones_own_is_not_overridden_by_the_configuration() -> None:
    mine = MemoryLaneStore()
    broker = LaneBroker(source=FactorySource(lambda: mine))
    broker.configure(SETTINGS)
    assert await broker.another_store() is mine
