"""Large results and the ends of events in dramatiq's own worker."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from dramatiq import Worker

import octoqueue
from octoqueue.broker.claim_checks import ClaimChecks
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.errors import ActorFailed
from octoqueue.lanes.options import LaneOptions
from octoqueue.testing.memory_objects import MemoryObjects
from tests.running import SHORTLY

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from octoqueue.primitives.events import Event


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


@pytest.fixture
def broker(redis_url: str, objects: MemoryObjects) -> Iterator[LaneBroker]:
    options = LaneOptions(namespace=f"t{uuid4().hex[:8]}", lease=timedelta(seconds=2))
    broker = LaneBroker(redis_url, options=options)
    broker.claim_checks = ClaimChecks(
        open_objects=lambda: objects, max_bytes=1_000, max_object_bytes=10_000
    )
    yield broker
    broker.close()


@contextmanager
def working(broker: LaneBroker) -> Generator[None]:
    worker = Worker(broker, worker_timeout=50, worker_threads=2)
    worker.start()
    try:
        yield
    finally:
        worker.stop()


async def result_of(broker: LaneBroker, handle: octoqueue.MessageHandle[Any]) -> object:
    async with broker.connected():
        return await handle.result(timeout=SHORTLY)


async def events_of(broker: LaneBroker, handle: octoqueue.MessageHandle[Any]) -> list[Event]:
    async with broker.connected():
        return [event async for event in handle.events(timeout=SHORTLY)]


def test_a_large_result_goes_to_the_object_store(
    broker: LaneBroker, objects: MemoryObjects
) -> None:
    @octoqueue.actor(broker=broker, results=True, max_retries=0)
    def text(length: int) -> str:
        return "x" * length

    handle, refused = text.send(5_000), text.send(10_001)
    with working(broker):
        assert asyncio.run(result_of(broker, handle)) == "x" * 5_000
        with pytest.raises(ActorFailed, match=r"results\.max_object_bytes"):
            asyncio.run(result_of(broker, refused))
    assert len(objects.objects) == 1


def test_retries_and_the_end_are_told(broker: LaneBroker) -> None:
    @octoqueue.actor(
        broker=broker, events=True, max_retries=1, min_backoff=timedelta(milliseconds=1)
    )
    def fails() -> None:
        raise ValueError("no")

    handle = fails.send()
    with working(broker):
        events = asyncio.run(events_of(broker, handle))
    assert [(event.kind.value, event.attempt) for event in events] == [("retry", 0), ("ended", 1)]
    assert events[1].data == {"outcome": "dead", "error": "ValueError", "message": "no"}
