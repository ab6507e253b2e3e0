"""The stock command line, `python -m dramatiq`, on our broker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dramatiq

from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.lanes.options import LaneOptions
from tests.running import until

if TYPE_CHECKING:
    from collections.abc import Generator

    from octoqueue.primitives.messages import QueueStats

ROOT = Path(__file__).parents[2]


@contextmanager
def command_line(redis_url: str, namespace: str, ran: Path) -> Generator[subprocess.Popen[bytes]]:
    """`dramatiq tests.stock_app` for the length of the block."""
    environ = os.environ | {
        "OCTOQUEUE_REDIS_URL": redis_url,
        "OCTOQUEUE_NAMESPACE": namespace,
        "RAN": str(ran),
    }
    command = [sys.executable, "-m", "dramatiq", "tests.stock_app:broker", "tests.stock_app"]
    process = subprocess.Popen(
        [*command, "--processes", "1", "--threads", "2"], cwd=ROOT, env=environ
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def test_the_stock_command_line_runs_retries_buries_and_stops(
    redis_url: str, tmp_path: Path
) -> None:
    namespace, ran = f"t{uuid4().hex[:8]}", tmp_path / "ran"
    ran.touch()
    broker = LaneBroker(redis_url, options=LaneOptions(namespace=namespace))
    actors: dict[str, Any] = {
        name: dramatiq.actor(broker=broker, actor_name=name)(print)
        for name in ("add", "show", "fail", "shout", "hold")
    }

    async def lines() -> list[str]:
        return await asyncio.to_thread(lambda: ran.read_text().splitlines())

    async def has(*wanted: str) -> bool:
        return set(wanted) <= set(await lines())

    async def stats() -> QueueStats:
        return await broker.store().stats("default")

    async def is_buried() -> bool:
        return (await stats()).dead == 1

    async with broker.connected():
        chain = [actors["add"].message(1, 2), actors["show"].message()]
        pipe = dramatiq.pipeline(chain, broker=broker)
        await broker.aenqueue(pipe.messages[0])
        await broker.aenqueue(actors["fail"].message())
        await broker.aenqueue(actors["shout"].message("hey"))
        with command_line(redis_url, namespace, ran) as process:
            await until(lambda: has("add 3", "show 3", "shout hey"))
            await until(is_buried)
            await broker.aenqueue(actors["hold"].message())
            await until(lambda: has("hold begins"))
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 20) == 0
        found = await stats()
    assert (await lines()).count("fail") == 2
    assert await has("hold ends")
    assert (found.waiting, found.in_flight, found.counters["dead"]) == (0, 0, 1)


async def test_the_stock_command_line_told_twice_to_stop_stops_at_once(
    redis_url: str, tmp_path: Path
) -> None:
    namespace, ran = f"t{uuid4().hex[:8]}", tmp_path / "ran"
    ran.touch()
    broker = LaneBroker(redis_url, options=LaneOptions(namespace=namespace))
    wait: Any = dramatiq.actor(broker=broker, actor_name="wait")(print)

    async def begun() -> bool:
        return "wait begins" in await asyncio.to_thread(ran.read_text)

    async with broker.connected():
        await broker.aenqueue(wait.message())
        with command_line(redis_url, namespace, ran) as process:
            await until(begun)
            for _ in range(2):
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.5)  # dramatiq takes two signals at once for one
            assert await asyncio.to_thread(process.wait, 20) != 0
