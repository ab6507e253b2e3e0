"""Where a broker's numbers come from: its arguments, the configuration, dramatiq's middleware."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import dramatiq
from dramatiq.middleware import Retries, TimeLimit

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.sources import UrlSource
from octoqueue.lanes.opening import lane_options_from
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.settings.root import Settings
from tests.running import broker_on

if TYPE_CHECKING:
    from pathlib import Path

M = TypeVar("M")

YAML = """
namespace: mine
redis:
  url: unix:///nowhere
lanes:
  partitions: 3
  lease: 4s
  max_deliveries: 2
  max_payload_bytes: 2000
  queues:
    planner: {high: 1, normal: 2, low: 3}
runtime:
  max_retries: 1
  min_backoff: 2s
  max_backoff: 3s
  time_limit: 7s
"""


def settings(directory: Path) -> Settings:
    path = directory / "octoqueue.yaml"
    path.write_text(YAML)
    return Settings.load(path, environ={})


async def test_the_configuration_reaches_store_actors_and_dramatiqs_middleware(
    tmp_path: Path,
) -> None:
    broker = LaneBroker()

    @octoqueue.actor(broker=broker)
    async def quiet() -> None: ...

    @octoqueue.actor(broker=broker, max_retries=9)
    async def own() -> None: ...

    broker.configure(settings(tmp_path))
    options = broker.executable("quiet").options
    assert (options.retry.max_retries, options.retry.max_backoff) == (1, timedelta(seconds=3))
    assert options.time_limit == timedelta(seconds=7)
    assert broker.executable("own").options.retry.max_retries == 9
    retries, limit = of(broker, Retries), of(broker, TimeLimit)
    assert (retries.max_retries, retries.min_backoff, retries.max_backoff) == (1, 2_000, 3_000)
    assert limit.time_limit == 7_000
    assert (broker.defaults.max_payload_bytes, broker.defaults.max_deliveries) == (2_000, 2)
    async with broker.connected():
        store = broker.store()
        assert isinstance(store, RedisLaneStore)
        assert (store.options.namespace, store.options.partitions) == ("mine", 3)
        assert store.options.lease == timedelta(seconds=4)


def of(broker: LaneBroker, kind: type[M]) -> M:
    (found,) = [middleware for middleware in broker.middleware if isinstance(middleware, kind)]
    return found


async def test_bounds_of_queues_come_from_the_configuration(tmp_path: Path) -> None:
    options = lane_options_from(settings(tmp_path))
    assert options.bound("planner", octoqueue.Lane.LOW) == 3
    assert options.bound("other", octoqueue.Lane.LOW) == 10_000


def test_a_programs_own_middleware_is_not_overruled_by_the_configuration(tmp_path: Path) -> None:
    broker = broker_on(middleware=[Retries(max_retries=4, min_backoff=1, max_backoff=2)])
    broker.configure(settings(tmp_path))
    dramatiq.actor(broker=broker, actor_name="plain")(print)
    assert broker.executable("plain").options.retry.max_retries == 4
    assert of(broker, Retries).max_retries == 4


async def test_a_url_is_enough_to_say_where_redis_is() -> None:
    store = await UrlSource("unix:///nowhere").open()
    assert store.options.namespace == "oq"
    await store.aclose()
