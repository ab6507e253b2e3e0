"""The process that is measured: one worker, wired as `octoqueue worker` wires it.

Ordered to `drain`, it warms up, waits, and runs one worker until a number of messages is acked; the
time is taken from before its first claim until after its last commit, on its own clock. Ordered to
`serve`, it warms up and runs until its parent has heard enough.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import uvloop

import octoqueue
from bench.child import order, say, told
from bench.load import OPTIONS, QUEUE, WARM_MESSAGES, WARM_QUEUE, Actors, actors_on, fill
from octoqueue.broker.sources import FactorySource
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.maintenance.promoter import Promoter
from octoqueue.maintenance.reclaimer import Reclaimer
from octoqueue.primitives.service import ServiceGroup
from octoqueue.redis.client import RedisClient
from octoqueue.runtime.worker import Worker, WorkerOptions
from octoqueue.telemetry import logging as process_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from octoqueue.lanes.protocol import Refusals
    from octoqueue.primitives.messages import Lease, RunTime, SessionId, Settlement


class Tally:
    """Watches claims and commits, at a cost a batch and none a message."""

    def __init__(self) -> None:
        self.reset(0, lambda: None)

    def reset(self, expected: int, on_done: Callable[[], None]) -> None:
        """Begin anew; `on_done` is called when `expected` messages are acked."""
        self._left, self._on_done = expected, on_done
        self._began: tuple[float, float] | None = None
        self.seconds = self.cpu_seconds = 0.0

    def claiming(self) -> None:
        """A claim is about to be sent."""
        if self._began is None:
            self._began = time.monotonic(), time.process_time()

    def committed(self, count: int) -> None:
        """So many messages were acked."""
        self._left -= count
        if self._left == 0 and self._began is not None:
            began, cpu_began = self._began
            self.seconds = time.monotonic() - began
            self.cpu_seconds = time.process_time() - cpu_began
            self._on_done()


class WatchedStore(RedisLaneStore):
    """The real store, with a tally."""

    def __init__(self, url: str, tally: Tally) -> None:
        super().__init__(RedisClient(url), OPTIONS)
        self._tally = tally

    async def claim(self, session: SessionId, queues: Sequence[str], *, limit: int) -> list[Lease]:
        """Claim, noting when."""
        self._tally.claiming()
        return await super().claim(session, queues, limit=limit)

    async def commit(
        self,
        session: SessionId,
        *,
        acks: Sequence[Lease] = (),
        settlements: Sequence[Settlement] = (),
        run_times: Mapping[str, RunTime] | None = None,
    ) -> Refusals:
        """Commit, noting how many acks."""
        refusals = await super().commit(
            session, acks=acks, settlements=settlements, run_times=run_times
        )
        self._tally.committed(len(acks) - refusals.acks)
        return refusals


async def run_until_acked(broker: octoqueue.LaneBroker, tally: Tally, queue: str, n: int) -> None:
    """Run a worker until it has acked `n` messages."""
    worker = Worker(broker, WorkerOptions(queues=(queue,)))
    tally.reset(n, worker.stop)
    await worker.run()


@contextlib.asynccontextmanager
async def warm_broker(
    ordered: dict[str, Any], declare: Callable[[octoqueue.LaneBroker], Actors], tally: Tally
) -> AsyncIterator[octoqueue.LaneBroker]:
    """Give a broker that has run messages before: code is loaded, scripts and connections too."""
    broker = octoqueue.LaneBroker(source=FactorySource(lambda: WatchedStore(ordered["url"], tally)))
    async with broker.connected():
        await fill(declare(broker).warm, WARM_MESSAGES)
        await run_until_acked(broker, tally, WARM_QUEUE, WARM_MESSAGES)
        yield broker


async def drain(ordered: dict[str, Any]) -> None:
    """Drain the queue and say how long it took."""
    tally = Tally()
    async with warm_broker(ordered, actors_on, tally) as broker:
        store = broker.store()
        async with ServiceGroup([Promoter(store, [QUEUE]), Reclaimer(store)]):
            say("ready")
            await told()
            await run_until_acked(broker, tally, QUEUE, ordered["messages"])
    say("done", seconds=tally.seconds, cpu_seconds=tally.cpu_seconds)


async def serve(ordered: dict[str, Any]) -> None:
    """Run what comes; say what was stamped, when low spins are under way and when high ones end."""
    stamps: list[int] = []
    spins = {
        "low": Countdown(ordered.get("low_spins", 0), lambda: say("busy")),
        "high": Countdown(
            ordered.get("high_spins", 0), lambda: say("spun", at_ns=time.monotonic_ns())
        ),
    }

    def on_stamp(late_ns: int) -> None:
        stamps.append(late_ns)
        if len(stamps) == ordered["stamps"]:
            say("stamped", late_ns=stamps)

    def declare(broker: octoqueue.LaneBroker) -> Actors:
        return actors_on(broker, on_stamp=on_stamp, on_spun=lambda lane: spins[lane].count())

    async with warm_broker(ordered, declare, Tally()) as broker:
        promoter = Promoter(broker.store(), [QUEUE])
        worker = Worker(
            broker,
            WorkerOptions(queues=(QUEUE,)),
            on_bell=promoter.nudge,
            on_work=promoter.stir,
        )
        async with ServiceGroup([promoter, Reclaimer(broker.store())]):
            running = asyncio.create_task(worker.run())
            await worker.started.wait()
            say("ready")
            await told()
            worker.stop()
            await running


class Countdown:
    """Calls back at the last of so many counts, in whatever thread counts."""

    def __init__(self, left: int, on_last: Callable[[], None]) -> None:
        self._left = left
        self._on_last = on_last
        self._lock = threading.Lock()

    def count(self) -> None:
        """Count one."""
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._on_last()


def main() -> None:
    """Do what was ordered."""
    process_log.configure("info")
    ordered = order()
    uvloop.run(drain(ordered) if ordered["what"] == "drain" else serve(ordered))


if __name__ == "__main__":
    main()
