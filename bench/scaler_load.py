"""What KEDA's scaler costs under the load of a large cluster: `python -m bench.scaler_load`.

    1,000 ScaledObjects, each (GetMetricSpec, GetMetrics, IsActive) every 15 s, of 100 fleets
    ──► one replica in a process of its own ──► a private Redis with messages and live workers

The replica's CPU is read from the system's own count of the process. The calls come evenly spread
over the 15 s, as those of HPAs do, through one channel, as KEDA's do. Exit code 1 when it takes
more than `--most` of a core, or a call fails.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import orjson
import uvloop
import yaml

from bench.server import private_server
from octoqueue.lanes.opening import lane_options_from
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.envelope import Flag, Header, pack_header
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue, SessionId
from octoqueue.primitives.signals import Presence
from octoqueue.redis.client import RedisClient
from octoqueue.settings.root import Settings
from scalers.keda.generated import externalscaler_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVICE = "externalscaler.ExternalScaler"
PERIOD_SECONDS = 15.0
WORKERS_EACH = 3
MESSAGES_EACH = 20


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaler_load", description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000)
    parser.add_argument("--fleets", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--most", type=float, default=0.3, help="share of a core that is allowed")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(words)


def settings_of(redis_url: str, fleets: int) -> dict[str, Any]:
    """Return a configuration of so many fleets, each with a queue of its own."""
    each = {"modules": ["app"], "scaling": {"min": 0, "max": 50, "depth": 5}}
    return {
        "redis": {"url": redis_url},
        "fleets": {f"fleet-{n}": {"queues": [f"queue-{n}"], **each} for n in range(fleets)},
        "scaler": {"port": 0, "metrics_port": 0},
        "lanes": {"lease": "10m"},  # nobody renews the sessions of the workers
        "log": {"format": "json"},
    }


async def filled(settings: Settings) -> None:
    """Give each queue messages and each fleet workers."""
    assert settings.redis.url is not None
    store = RedisLaneStore(RedisClient(settings.redis.url), lane_options_from(settings))
    now = await store.now_ms()
    for fleet, told in settings.fleets.items():
        (queue,) = told.queues
        header = (
            Header(lane=Lane.NORMAL, flags=Flag(0), message_id=new_message_id())
            for _ in range(MESSAGES_EACH)
        )
        sent = [
            Enqueue(queue=queue, lane=Lane.NORMAL, payload=pack_header(one) + b"{}")
            for one in header
        ]
        assert await store.enqueue([sent]) == [None]
        for number in range(WORKERS_EACH):
            session = SessionId(f"{fleet}-{number}")
            await store.extend(session, presence(session, fleet, queue, now))
    await store.aclose()


def presence(session: str, fleet: str, queue: str, now_ms: int) -> Presence:
    """Return what a worker says of itself."""
    return Presence(
        session=session,
        name=session,
        fleet=fleet,
        queues=(queue,),
        slots=10,
        running=3,
        started_at_ms=now_ms,
        ready_at_ms=now_ms,
        said_at_ms=now_ms,
    )


class Operator:
    """KEDA, for one channel's worth of ScaledObjects."""

    def __init__(self, port: int) -> None:
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        unary: Any = self.channel.unary_unary
        self._spec = unary(f"/{SERVICE}/GetMetricSpec", None, pb.GetMetricSpecResponse.FromString)
        self._metrics = unary(f"/{SERVICE}/GetMetrics", None, pb.GetMetricsResponse.FromString)
        self._active = unary(f"/{SERVICE}/IsActive", None, pb.IsActiveResponse.FromString)
        self.seconds: list[float] = []
        self.failed = 0

    async def poll(self, number: int, fleets: int) -> None:
        """Ask once for one ScaledObject."""
        fleet = f"fleet-{number % fleets}"
        metadata = {"scalerAddress": "octoqueue-scaler.octoqueue:6000", "fleet": fleet}
        ref = pb.ScaledObjectRef(name=f"so-{number}", namespace="load", scalerMetadata=metadata)
        asked = pb.GetMetricsRequest(scaledObjectRef=ref, metricName=f"octoqueue-{fleet}-workers")
        told = ref.SerializeToString()
        try:
            for ask, request in (
                (self._spec, told),
                (self._metrics, asked.SerializeToString()),
                (self._active, told),
            ):
                began = time.perf_counter()
                await ask(request)
                self.seconds.append(time.perf_counter() - began)
        except grpc.aio.AioRpcError:
            self.failed += 1


async def loaded(port: int, *, objects: int, fleets: int, seconds: float) -> Operator:
    """Poll all ScaledObjects in turn, evenly spread, for so long."""
    operator = Operator(port)
    began, running = time.monotonic(), set[asyncio.Task[None]]()
    for number in range(int(objects * seconds / PERIOD_SECONDS)):
        due = began + number * PERIOD_SECONDS / objects
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        polling = asyncio.create_task(operator.poll(number % objects, fleets))
        running.add(polling)
        polling.add_done_callback(running.discard)
    await asyncio.gather(*running)
    await operator.channel.close()
    return operator


def cpu_seconds(pid: int) -> float:
    """Return what a process has used, in all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def started(command: Sequence[str]) -> subprocess.Popen[str]:
    """Return a replica; what it says comes on its standard error."""
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def port_of(scaler: subprocess.Popen[str]) -> int:
    """Return where a scaler listens, when it does."""
    assert scaler.stderr is not None
    for line in scaler.stderr:
        found = orjson.loads(line) if line.startswith("{") else {}
        if found.get("event") == "scaler_started" or found.get("message") == "scaler_started":
            return int(found["port"])
        sys.stderr.write(line)
    raise SystemExit("the scaler did not start")


async def measured(chosen: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Measure once."""
    async with private_server() as server:
        told = settings_of(server.url, chosen.fleets)
        file = folder / "octoqueue.yaml"
        file.write_text(yaml.safe_dump(told))
        await filled(Settings.load(file, environ={}))
        command = [sys.executable, "-m", "octoqueue", "scaler", "--config", str(file)]
        scaler = started(command)
        try:
            port = await asyncio.to_thread(port_of, scaler)
            await loaded(port, objects=chosen.objects, fleets=chosen.fleets, seconds=3.0)
            before, redis_before = cpu_seconds(scaler.pid), await server.usage()
            began = time.monotonic()
            operator = await loaded(
                port, objects=chosen.objects, fleets=chosen.fleets, seconds=chosen.seconds
            )
            took = time.monotonic() - began
            used = cpu_seconds(scaler.pid) - before
            redis = (await server.usage()) - redis_before
        finally:
            scaler.terminate()
            scaler.wait(20)
    calls = sorted(operator.seconds)
    return {
        "objects": chosen.objects,
        "fleets": chosen.fleets,
        "calls_per_second": len(calls) / took,
        "failed": operator.failed,
        "scaler_cores": used / took,
        "redis_cores": redis.cpu_seconds / took,
        "scripts_per_second": redis.script_calls / took,
        "p50_ms": calls[len(calls) // 2] * 1000,
        "p99_ms": calls[int(len(calls) * 0.99)] * 1000,
        "worst_ms": calls[-1] * 1000,
    }


def main() -> int:
    """Measure, print, compare with what is allowed."""
    chosen = parsed()
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        figures = runner.run(measured(chosen, Path(folder)))
    if chosen.json:
        print(orjson.dumps(figures).decode())
    else:
        for name, value in figures.items():
            print(f"{name:20} {value:10.2f}")
    return 0 if figures["scaler_cores"] <= chosen.most and not figures["failed"] else 1


if __name__ == "__main__":
    sys.exit(main())
