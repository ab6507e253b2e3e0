"""dramatiq's own worker when Redis is killed and comes back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import dramatiq
import pytest
from dramatiq import Worker
from dramatiq import worker as stock

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.lanes.options import LaneOptions
from tests.contract.redis_processes import RedisProcess, wait_until
from tests.running import WatchedStore, broker_on, gone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from octoqueue.primitives.messages import QueueStats

MESSAGES = 120


@pytest.fixture
def redis(state_dir: Path) -> Iterator[RedisProcess]:
    process = RedisProcess(state_dir, settings=("--appendonly", "yes", "--appendfsync", "always"))
    process.start()
    yield process
    process.kill()


def test_every_message_runs_although_redis_is_killed_in_between(
    redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock, "CONSUMER_RESTART_DELAY_SECS", 0.05)
    monkeypatch.setattr(stock, "POST_PROCESS_MESSAGE_RETRY_DELAY_SECS", 0.05)
    options = LaneOptions(namespace=f"t{uuid4().hex[:8]}", lease=timedelta(seconds=30))
    broker = LaneBroker(redis.url, options=options)
    ran, lock = Counter[int](), threading.Lock()

    @dramatiq.actor(broker=broker)
    def note(number: int) -> None:
        with lock:
            ran[number] += 1
        time.sleep(0.01)

    for number in range(MESSAGES):
        note.send(number)
    worker = Worker(broker, worker_threads=4, worker_timeout=50)
    worker.start()
    try:
        wait_until(lambda: len(ran) > 20)
        redis.kill()
        assert len(ran) < MESSAGES
        redis.start()
        wait_until(lambda: len(ran) == MESSAGES)
        broker.join("default", timeout=20_000)
    finally:
        worker.stop()
    broker.close()

    async def ask() -> QueueStats:
        async with broker.connected():
            return await broker.store().stats("default")

    stats = asyncio.run(ask())
    assert set(ran.values()) == {1}
    assert (stats.in_flight, stats.waiting, stats.counters["acked"]) == (0, 0, MESSAGES)


def test_the_actor_for_dead_letters_is_told_once_however_often_a_nack_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stock, "POST_PROCESS_MESSAGE_RETRY_DELAY_SECS", 0.01)
    store = WatchedStore()
    broker, told = broker_on(store), list[str]()

    @octoqueue.actor(broker=broker)
    def bury(message_id: str, **_: object) -> None:
        told.append(message_id)

    @octoqueue.actor(broker=broker, max_retries=0, on_dead_letter="bury")
    def fail() -> None:
        raise LookupError

    store.fail("commit", *[gone()] * 3)
    handle = fail.send()
    worker = Worker(broker, worker_threads=1, worker_timeout=50)
    worker.start()
    try:
        broker.join("default", timeout=20_000)
    finally:
        worker.stop()
        broker.close()
    assert told == [handle.message_id]
