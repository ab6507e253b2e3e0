"""The process that is measured: one worker, wired as `octoqueue worker` wires it.

It warms up and then does what it is told, as often as it is told. Ordered to `drain`, it runs a
worker until there is nothing left to claim and all it claimed is acked; the time is taken from its
first claim until its last commit, on the clock of the machine. Ordered to `serve`, it runs a worker
until its parent has heard enough.
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
from octoqueue.cli.footprint import settle_in
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.maintenance.promoter import Promoter
from octoqueue.maintenance.reclaimer import Reclaimer
from octoqueue.primitives.service import ServiceGroup
from octoqueue.redis.client import RedisClient
from octoqueue.runtime.worker import Worker, WorkerOptions
from octoqueue.telemetry import logging as process_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import timedelta

    from octoqueue.lanes.protocol import Refusals
    from octoqueue.primitives.messages import Lease, RunTime, SessionId, Settlement


class Tally:
    """Watches claims and commits, at a cost a batch and none a message."""

    def __init__(self) -> None:
        self.reset(lambda: None)

    def reset(self, on_done: Callable[[], None]) -> None:
        """Begin anew; `on_done` is called when nothing is left, neither to claim nor to ack."""
        self._on_done = on_done
        self._claiming = self._claimed = 0
        self._came_short = False
        self.acked = 0
        self.began = self.ended = self.cpu_seconds = self._cpu_began = 0.0

    def claiming(self) -> None:
        """A claim is about to be sent."""
        self._claiming += 1
        if not self.began:
            self.began, self._cpu_began = time.monotonic(), time.process_time()

    def claimed(self, count: int, *, asked: int, when_rung: bool = False) -> None:
        """A claim was answered."""
        self._claiming -= not when_rung
        self._claimed += count
        self._came_short = count < asked
        self._look()

    def committed(self, count: int) -> None:
        """So many messages were acked."""
        self.acked += count
        self.ended, self.cpu_seconds = time.monotonic(), time.process_time() - self._cpu_began
        self._look()

    def _look(self) -> None:
        if self._came_short and not self._claiming and self._claimed == self.acked:
            self._on_done()


class WatchedStore(RedisLaneStore):
    """The real store, with a tally."""

    def __init__(self, url: str, tally: Tally) -> None:
        super().__init__(RedisClient(url), OPTIONS)
        self._tally = tally

    async def claim(self, session: SessionId, queues: Sequence[str], *, limit: int) -> list[Lease]:
        """Claim, noting when and how many."""
        self._tally.claiming()
        leases = await super().claim(session, queues, limit=limit)
        self._tally.claimed(len(leases), asked=limit)
        return leases

    async def claim_when_rung(
        self, session: SessionId, queues: Sequence[str], *, limit: int, timeout: timedelta
    ) -> tuple[bool, list[Lease]]:
        """Wait and claim, noting how many."""
        rung, leases = await super().claim_when_rung(session, queues, limit=limit, timeout=timeout)
        self._tally.claimed(len(leases), asked=limit, when_rung=True)
        return rung, leases

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


async def run_until_empty(
    broker: octoqueue.LaneBroker, tally: Tally, queue: str, concurrency: int
) -> None:
    """Run a worker until its queue is empty and it has acked what it took."""
    worker = Worker(broker, WorkerOptions(queues=(queue,), concurrency=concurrency))
    tally.reset(worker.stop)
    await worker.run()


@contextlib.asynccontextmanager
async def warm_broker(
    ordered: dict[str, Any], declare: Callable[[octoqueue.LaneBroker], Actors], tally: Tally
) -> AsyncIterator[octoqueue.LaneBroker]:
    """Give a broker that has run messages before: code is loaded, scripts and connections too."""
    broker = octoqueue.LaneBroker(source=FactorySource(lambda: WatchedStore(ordered["url"], tally)))
    async with broker.connected():
        settle_in()
        await fill(declare(broker).warm, WARM_MESSAGES)
        await run_until_empty(broker, tally, WARM_QUEUE, ordered["concurrency"])
        yield broker


async def drain(ordered: dict[str, Any]) -> None:
    """Whenever told, drain the queue and say how long it took."""
    tally = Tally()
    async with warm_broker(ordered, actors_on, tally) as broker:
        store = broker.store()
        while True:
            say("ready")
            await told()
            async with ServiceGroup([Promoter(store, [QUEUE]), Reclaimer(store)]):
                await run_until_empty(broker, tally, QUEUE, ordered["concurrency"])
            say(
                "done",
                acked=tally.acked,
                began=tally.began,
                ended=tally.ended,
                cpu_seconds=tally.cpu_seconds,
            )


async def serve(ordered: dict[str, Any]) -> None:
    """Whenever told, run what comes, say what was seen, and stop when told again."""
    watch = Watch()

    def declare(broker: octoqueue.LaneBroker) -> Actors:
        return actors_on(broker, on_stamp=watch.stamped, on_spun=watch.spun)

    async with warm_broker(ordered, declare, Tally()) as broker:
        store = broker.store()
        while True:
            say("ready")
            facts = await told()
            watch.begin(facts)
            promoter = Promoter(store, [QUEUE])
            worker = Worker(
                broker,
                WorkerOptions(queues=(QUEUE,), concurrency=ordered["concurrency"]),
                on_bell=promoter.nudge,
                on_work=promoter.stir,
            )
            async with ServiceGroup([promoter, Reclaimer(store)]):
                running = asyncio.create_task(worker.run())
                await worker.started.wait()
                if "low_spins" not in facts:  # else it says when they have ended
                    say("serving")
                while wanted := (await told()).get("stamps"):
                    watch.expect_stamps(wanted)
                    say("expecting")
                worker.stop()
                await running
            say("stopped")


class Watch:
    """Tells the parent what has been run; also in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.begin({})

    def begin(self, facts: dict[str, Any]) -> None:
        """Begin anew.

        Args:
            facts: how many `low_spins` are to end before that is said, and how many `high_spins`.
        """
        self._spins_left = {"low": facts.get("low_spins", 0), "high": facts.get("high_spins", 0)}
        self.expect_stamps(0)

    def expect_stamps(self, count: int) -> None:
        """Say what `stamped` noted when it has noted so much."""
        self._late_ns: list[int] = []
        self._stamps = count
        self._cpu_began = time.process_time()

    def stamped(self, late_ns: int) -> None:
        """Note how late a message began."""
        self._late_ns.append(late_ns)
        if len(self._late_ns) == self._stamps:
            say(
                "stamped",
                late_ns=self._late_ns,
                at_ns=time.monotonic_ns(),
                cpu_seconds=time.process_time() - self._cpu_began,
            )

    def spun(self, lane: str) -> None:
        """Count a message of a lane that has ended."""
        with self._lock:
            self._spins_left[lane] -= 1
            is_last = self._spins_left[lane] == 0
        if is_last:
            say("spun", lane=lane, at_ns=time.monotonic_ns())


def main() -> None:
    """Do what was ordered, until the parent goes away."""
    process_log.configure("info")
    ordered = {"concurrency": 100} | order()
    with contextlib.suppress(EOFError):
        uvloop.run(drain(ordered) if ordered["what"] == "drain" else serve(ordered))


if __name__ == "__main__":
    main()
