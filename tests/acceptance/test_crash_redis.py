"""Redis killed in the middle of the work, and started again from its append-only file."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

import octoqueue
from tests.contract.redis_processes import RedisProcess
from tests.running import SHORTLY, until
from tests.worker_processes import QUEUE, Crashes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MESSAGES = 1_000
SYNC_SECONDS = 1.2
"""How long `appendfsync everysec` may take at most, and a little."""


@pytest.fixture
def redis(state_dir: Path) -> Iterator[RedisProcess]:
    settings = ("--appendonly", "yes", "--appendfsync", "everysec")
    process = RedisProcess(state_dir, settings=settings)
    process.start()
    yield process
    process.kill()


@pytest.fixture
def crashes(redis: RedisProcess, tmp_path: Path) -> Crashes:
    return Crashes(redis.url, f"t{uuid4().hex[:8]}", tmp_path / "ran")


async def test_what_was_synced_survives_and_the_worker_goes_on_by_itself(
    redis: RedisProcess, crashes: Crashes
) -> None:
    broker = crashes.broker()

    @octoqueue.actor(broker=broker, queue=QUEUE)
    async def work(number: int) -> None: ...

    @octoqueue.actor(broker=broker, queue=QUEUE, results=True)
    async def hold(seconds: float) -> int:
        raise AssertionError

    async def all_ended() -> bool:
        stats = await broker.store().stats(QUEUE)
        return not (stats.waiting or stats.in_flight)

    async with broker.connected():
        await octoqueue.asend_many([work.message(n) for n in range(MESSAGES)], broker=broker)
        await asyncio.sleep(SYNC_SECONDS)
        with crashes.worker():
            await until(lambda: len(crashes.lines()) >= 200)
            await asyncio.to_thread(redis.kill)
            assert len(set(crashes.lines())) < MESSAGES
            await asyncio.to_thread(redis.start)
            await until(lambda: len(set(crashes.lines())) == MESSAGES)
            await until(all_ended)
            handle: Any = await hold.asend(0)
            assert await handle.result(timeout=SHORTLY) == 0
        stats = await broker.store().stats(QUEUE)
    ran = Counter(crashes.lines())
    assert (stats.waiting, stats.in_flight, stats.dead) == (0, 0, 0)
    # Only what was running, or acknowledged within the second that was not synced, may run twice.
    assert sum(ran.values()) < 2 * MESSAGES
