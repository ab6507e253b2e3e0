"""Worker processes of the command line, to be killed and stopped."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.messages import LeaseToken, SessionId

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).parents[1]
LEASE = timedelta(seconds=1)
MAX_DELIVERIES = 2
STARTING_SECONDS = 90
"""What many processes may take to start on a machine that is busy with other tests."""
QUEUE = "crash"


@dataclass(frozen=True)
class Crashes:
    """A namespace on a Redis, a file of what ran, and the processes that work on both."""

    redis_url: str
    namespace: str
    ran: Path

    def broker(self) -> LaneBroker:
        """A broker on the same namespace, for the test itself."""
        bounds = LaneBounds(high=10_000, normal=10_000, low=10_000)
        options = LaneOptions(namespace=self.namespace, lease=LEASE, default_bounds=bounds)
        return LaneBroker(self.redis_url, options=options)

    def lines(self) -> list[str]:
        """What ran so far, a line an execution."""
        return self.ran.read_text().splitlines() if self.ran.exists() else []

    @contextmanager
    def worker(
        self, *, concurrency: int = 20, module: str = "tests.crash_app", **environment: str
    ) -> Generator[subprocess.Popen[bytes]]:
        """`octoqueue worker tests.crash_app` for the length of the block, then killed."""
        environ = os.environ | {
            "OCTOQUEUE_REDIS_URL": self.redis_url,
            "OCTOQUEUE_NAMESPACE": self.namespace,
            "OCTOQUEUE_LANES__LEASE": f"{LEASE.total_seconds():g}s",
            "OCTOQUEUE_LANES__MAX_DELIVERIES": str(MAX_DELIVERIES),
            "RAN": str(self.ran),
            **environment,
        }
        command = [sys.executable, "-m", "octoqueue", "worker", module]
        process = subprocess.Popen(
            [*command, "--concurrency", str(concurrency)], cwd=ROOT, env=environ
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


async def sessions(broker: LaneBroker) -> list[SessionId]:
    """Return the sessions of all workers."""
    store = broker.store()
    assert isinstance(store, RedisLaneStore)
    names = await store._client.command("ZRANGE", store._keys.workers(0), 0, -1)
    return [SessionId(name.decode()) for name in names]


async def until_working(broker: LaneBroker, count: int) -> None:
    """Return when so many workers live, and the sessions of the dead are over."""
    async with asyncio.timeout(STARTING_SECONDS):
        while len(await sessions(broker)) != count:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.05)


async def held_by(broker: LaneBroker, pid: int) -> set[LeaseToken]:
    """Return the tokens of all leases of the worker in one process."""
    (session,) = [name for name in await sessions(broker) if f"-{pid}-" in name]
    return {lease.token for lease in await broker.store().held(session, [QUEUE])}
