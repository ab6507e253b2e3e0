"""Where a broker's store comes from: a URL, the configuration, or a test's own store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from octoqueue.embedded.state_dir import default_state_dir
from octoqueue.lanes.opening import lane_options_from
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.redis.client import RedisClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.lanes.options import LaneOptions
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.settings.root import Settings


class StoreSource(Protocol):
    """Opens a store for the running event loop."""

    async def open(self) -> LaneStore:
        """Return a new store; the caller closes it."""
        ...


class UrlSource:
    """A Redis server that is there."""

    def __init__(
        self, url: str, options: LaneOptions | None = None, *, cluster: bool = False
    ) -> None:
        self._url = url
        self._options = options
        self._cluster = cluster

    async def open(self) -> LaneStore:
        """Return a store on the server; the first command connects."""
        return RedisLaneStore(RedisClient(self._url, cluster=self._cluster), self._options)


class FactorySource:
    """A store made by a function: for tests, and for stores of your own."""

    def __init__(self, factory: Callable[[], LaneStore]) -> None:
        self._factory = factory

    async def open(self) -> LaneStore:
        """Return what the function returns."""
        return self._factory()


class SettingsSource:
    """What the configuration says; without a URL, the private Redis of this machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.redis.url

    async def open(self) -> LaneStore:
        """Return a store, starting the private server when nothing else is configured.

        Raises:
            EmbeddedError: the private server cannot be started.
        """
        redis = self._settings.redis
        if self._url is None:
            self._url = await _private_redis(self._settings)
        client = RedisClient(
            self._url,
            cluster=redis.topology == "cluster",
            pool_size=redis.pool_size,
            timeout=redis.command_timeout,
            connect_timeout=redis.connect_timeout,
            pipelining=redis.pipelining,
        )
        return RedisLaneStore(client, lane_options_from(self._settings))


async def redis_url(settings: Settings) -> str:
    """Return where Redis is, starting the private one when no URL is configured.

    Raises:
        EmbeddedError: it cannot be started.
    """
    return settings.redis.url or await _private_redis(settings)


async def _private_redis(settings: Settings) -> str:
    """Return the URL of the private server, which goes on for whoever else uses it."""
    from octoqueue.embedded.services import EmbeddedServices  # noqa: PLC0415 - few need a server

    state_dir = settings.embedded.state_dir or default_state_dir(
        settings.embedded.name,
        environ=os.environ,  # noqa: TID251 - the state folder is the user's environment's
    )
    return await EmbeddedServices(state_dir).start_redis()
