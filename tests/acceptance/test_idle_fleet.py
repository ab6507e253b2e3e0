"""What ten worker processes cost a Redis while nothing happens."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from octoqueue.lanes.redis_store import RedisLaneStore
from tests.contract.redis_processes import RedisProcess
from tests.worker_processes import Crashes, until_working

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from octoqueue.broker.lane_broker import LaneBroker

PROCESSES = 10
SECONDS = 10
MOST_A_SECOND = 20
ONLY_INSIDE = frozenset(
    {
        "time", "exists", "zscore", "zadd", "zrange", "zrangebyscore", "zremrangebyrank", "zcount",
        "zcard", "hget", "hmget", "hset", "lpop", "llen", "lindex",
    }
)  # fmt: skip
"""What scripts use in an idle fleet: `commandstats` counts it beside what clients send."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    """A server of its own, since all its clients are counted."""
    process = RedisProcess(tmp_path)
    process.start()
    yield process
    process.kill()


async def sent(broker: LaneBroker) -> dict[str, int]:
    """How often clients have sent each command; what a script does inside is not sent."""
    store = broker.store()
    assert isinstance(store, RedisLaneStore)
    told: bytes = await store._client.command("INFO", "commandstats")
    calls = re.findall(r"cmdstat_(\S+?):calls=(\d+)", told.decode())
    return {name: int(count) for name, count in calls if name not in ONLY_INSIDE | {"info"}}


async def test_an_idle_fleet_of_ten_processes_sends_fewer_than_twenty_commands_a_second(
    redis: RedisProcess, tmp_path: Path
) -> None:
    # The default lease: the processes of other tests have a short one, which costs more.
    crashes = Crashes(redis.url, f"t{uuid4().hex[:8]}", tmp_path / "ran")
    broker = crashes.broker()

    async with broker.connected():
        with contextlib.ExitStack() as stack:
            for _ in range(PROCESSES):
                stack.enter_context(
                    crashes.worker(module="tests.idle_app", OCTOQUEUE_LANES__LEASE="10s")
                )
            await until_working(broker, PROCESSES)
            await asyncio.sleep(2)  # starting costs more than idling
            before = await sent(broker)
            await asyncio.sleep(SECONDS)
            after = await sent(broker)
    cost = {name: after[name] - before.get(name, 0) for name in after}
    cost = {name: count for name, count in cost.items() if count}
    assert sum(cost.values()) < MOST_A_SECOND * SECONDS, cost
    print("commands in", SECONDS, "seconds:", cost)
    assert cost["evalsha"] > PROCESSES  # it was alive: sessions were renewed
