"""The connection of our own on both event loops: the standard library's, and the workers' own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop

from octoqueue.redis.client import RedisClient
from tests.contract.redis_processes import running_redis

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from pathlib import Path

    from tests.contract.redis_processes import RedisProcess


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    """A server of the test's own."""
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: RedisProcess) -> AsyncGenerator[RedisClient]:
    """A client of that server."""
    client = RedisClient(server.url)
    yield client
    await client.aclose()
