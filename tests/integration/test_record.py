"""`octoqueue record` on a real Redis: Ctrl-C ends it, and simulate reads what it wrote."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.lanes.options import LaneOptions
from tests.running import running, until

if TYPE_CHECKING:
    from pathlib import Path


async def program(*words: str, environ: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "octoqueue", *words, env=environ, stdout=asyncio.subprocess.PIPE
    )


async def test_what_arrived_and_how_long_it_ran_is_recorded_until_ctrl_c(
    redis_url: str, tmp_path: Path
) -> None:
    namespace, out = f"t{uuid4().hex[:8]}", tmp_path / "r.jsonl"
    environ = os.environ | {"OCTOQUEUE_REDIS_URL": redis_url, "OCTOQUEUE_NAMESPACE": namespace}
    broker = LaneBroker(redis_url, options=LaneOptions(namespace=namespace))

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        pass

    def lines() -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in out.read_text().splitlines()]

    async def has_ended() -> bool:
        return (await broker.store().stats("default")).counters.get("acked") == 1

    async def has_begun() -> bool:
        return out.exists() and len(lines()) > 1

    async def has_recorded_all() -> bool:
        told = lines()[1:]
        arrivals = sum(line["arrivals"]["high"] for line in told)
        return bool(arrivals == sum(line["runs"] for line in told) == 5)

    async with broker.connected(), running(broker):
        await work.asend()
        await until(has_ended)
        recording = await program(
            "record", "--out", str(out), "--every", "0.1s", "--json", environ=environ
        )
        try:
            await until(has_begun)
            for _ in range(5):
                await work.using(lane="high").asend()
            await until(has_recorded_all)
            recording.send_signal(signal.SIGINT)
            told, _ = await recording.communicate()
        finally:
            if recording.returncode is None:
                recording.kill()
                await recording.wait()
    assert recording.returncode == 0
    assert orjson.loads(told)["arrivals"] == 5
    simulation = await program(
        "simulate", "--trace", str(out), "--policy", "static=1", "--json", environ=environ
    )
    answer, _ = await simulation.communicate()
    assert simulation.returncode == 0
    (rule,) = orjson.loads(answer)["rules"]
    assert rule["messages"] == 5
    assert rule["attainment"] == 1
