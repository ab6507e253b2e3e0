"""Scalers on a real Redis, and what fills its queues."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from octoqueue.lanes.opening import lane_options_from
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.metrics.redis_scaling_memory import RedisScalingMemory
from octoqueue.primitives.messages import Lease, Outcome, SessionId, Settlement
from octoqueue.redis.client import RedisClient
from octoqueue.settings.root import Settings
from scalers.keda.main import running
from tests.contract.world import fresh_namespace, message
from tests.links import Link
from tests.scalers.keda import Keda

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import grpc

_SESSION = SessionId("taker")
FLEETS: dict[str, Any] = {
    "executor": {
        "queues": ["executor"],
        "modules": ["app"],
        "scaling": {"min": 0, "max": 20, "depth": 10, "active_for": "0s"},
    },
    "judge": {
        "queues": ["judge"],
        "modules": ["app"],
        "scaling": {"min": 2, "max": 8, "depth": 5},
    },
}


class World:
    """A namespace, its queues, and scalers that read it."""

    def __init__(self, redis_url: str, link_path: Path) -> None:
        self.url = redis_url
        self.namespace = fresh_namespace()
        self.client = RedisClient(redis_url)
        self.memory = RedisScalingMemory(self.client, namespace=self.namespace)
        self.store = RedisLaneStore(self.client, lane_options_from(self.settings()))
        self.link = Link(redis_url.removeprefix("unix://"), link_path)
        self.link_url = f"unix://{link_path}"
        self._kedas = contextlib.AsyncExitStack()
        self._scalers = contextlib.AsyncExitStack()
        self._running: dict[int, contextlib.AsyncExitStack] = {}

    def settings(self, *, through_the_link: bool = False, **scaler: object) -> Settings:
        """A configuration of two fleets, whose scaler reads again for every call."""
        chosen = {
            "port": 0,
            "metrics_port": None,
            "budget": timedelta(milliseconds=600),
            "fresh_for": timedelta(0),
            "watch_every": timedelta(milliseconds=10),
            **scaler,
        }
        return Settings.model_validate(
            {
                "namespace": self.namespace,
                "redis": {"url": self.link_url if through_the_link else self.url},
                "fleets": FLEETS,
                "scaler": chosen,
            }
        )

    async def scaler(self, *, through_the_link: bool = False, **scaler: object) -> int:
        """Start a replica; return its port."""
        settings = self.settings(through_the_link=through_the_link, **scaler)
        replica = await self._scalers.enter_async_context(contextlib.AsyncExitStack())
        port = (await replica.enter_async_context(running(settings))).port
        self._running[port] = replica
        return port

    async def keda(self, *ports: int, credentials: grpc.ChannelCredentials | None = None) -> Keda:
        """Start an operator that calls some replicas."""
        keda = Keda(*ports, credentials=credentials)
        self._kedas.push_async_callback(keda.aclose)
        return keda

    async def put(self, count: int, *, queue: str = "executor") -> None:
        """Put messages into a queue."""
        if not count:
            return
        sent = [message(str(number), queue=queue) for number in range(count)]
        assert await self.store.enqueue([sent]) == [None]

    async def lease(self, count: int, *, queue: str = "executor") -> list[Lease]:
        """Let messages run."""
        await self.store.extend(_SESSION)
        return await self.store.claim(_SESSION, [queue], limit=count)

    async def take(self, count: int, *, queue: str = "executor") -> None:
        """Run messages to their end."""
        leases = await self.lease(count, queue=queue)
        ended = [Settlement(lease=lease, outcome=Outcome.ACK) for lease in leases]
        await self.store.commit(_SESSION, settlements=ended)

    async def stop_one(self, port: int) -> None:
        """Stop one replica."""
        await self._running.pop(port).aclose()

    async def stop_scalers(self) -> None:
        """Stop all replicas, as a deploy does."""
        await self._scalers.aclose()

    async def aclose(self) -> None:
        await self._kedas.aclose()
        await self._scalers.aclose()
        await self.link.cut()
        await self.store.aclose()


@pytest.fixture
def link_path(state_dir: Path) -> Path:
    """A short path, as those of sockets must be."""
    state_dir.mkdir(exist_ok=True)
    return state_dir / "l.sock"


@pytest.fixture
async def world(redis_url: str, link_path: Path) -> AsyncGenerator[World]:
    made = World(redis_url, link_path)
    yield made
    await made.aclose()
