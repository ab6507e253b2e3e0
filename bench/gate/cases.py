"""What the gate counts: a drain and three ways to enqueue, each beside the least it could be.

Everything runs in this process, on a real Redis, warm. The reference is the bare loop of
`bench.bare_loop` and redis-py's own push, counted in the same process: their bytecodes change with
the version of Python as ours do, and the ratio hardly.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from redis.asyncio import Redis

import octoqueue
from bench.bare_loop import LIST, drain_list
from bench.gate.counting import NOTHING, Counts, Tracer, traced
from bench.load import BATCH, QUEUE, actors_on, fill, payloads, producer
from bench.worker import Tally, WatchedStore
from octoqueue.broker.sources import FactorySource
from octoqueue.primitives.clock import SystemClock
from octoqueue.runtime.worker import Worker, WorkerOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import timedelta

    from bench.load import Actors
    from bench.server import Server
    from octoqueue.primitives.messages import Lease, SessionId

MESSAGES = 500
_SINGLE = 100
"""Of those that are sent one by one, which differ little and take long to count."""
_COROUTINES = 100
_ROUNDS = 2
_ALWAYS = 0.9
_PATIENCE_SECONDS = 30.0
_ASIDE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Cost:
    """What a message costs."""

    by_function: Mapping[str, Counts]
    redis_commands: float
    script_calls: float

    @property
    def total(self) -> Counts:
        """What all functions cost together."""
        return reduce(Counts.plus, self.by_function.values(), NOTHING)

    @property
    def each_time(self) -> Counts:
        """What those functions cost together that are called for every message.

        How many batches the messages come in is chance, and a batch has many calls.
        """
        always = (counts for counts in self.by_function.values() if counts.calls > _ALWAYS)
        return reduce(Counts.plus, always, NOTHING)


@dataclass(frozen=True, slots=True)
class Case:
    """Something to count, and what it is compared with."""

    name: str
    what: str
    count: Callable[[Server], Awaitable[Cost]]
    reference: str


async def _best(
    server: Server, once: Callable[[Tracer], Awaitable[None]], *, count: int = MESSAGES
) -> Cost:
    """Return the least of some rounds: what differs is chance.

    One more goes before, to get warm: connections, scripts, and from Python 3.13 on what counts
    bytecodes, which misses some when a function runs for the first time.
    """
    await server.clear()
    costs: list[Cost] = []
    for number in range(_ROUNDS + 1):
        tracer = Tracer()
        before = await server.usage()
        await once(tracer)
        spent = await server.usage() - before
        if number:
            each = {name: counts.each(count) for name, counts in tracer.by_function().items()}
            costs.append(Cost(each, spent.commands / count, spent.script_calls / count))
    return min(costs, key=lambda cost: cost.total)


class CountingTally(Tally):
    """Counts from the first claim until there is nothing left."""

    def __init__(self) -> None:
        super().__init__()
        self.tracer = Tracer()

    def claiming(self) -> None:
        """Begin to count with the first."""
        if not self.began:
            self.tracer.start()
        super().claiming()


class PatientStore(WatchedStore):
    """Waits a little before it claims first, and before it waits for a bell.

    Otherwise it is chance whether the worker opens its connection for subscriptions, or that for
    bells, while there is counted. They are no message's cost.
    """

    def __init__(self, url: str, tally: Tally) -> None:
        super().__init__(url, tally)
        self._watched = tally

    async def claim(self, session: SessionId, queues: Sequence[str], *, limit: int) -> list[Lease]:
        """Claim, the first time a little later."""
        if not self._watched.began:
            await asyncio.sleep(_ASIDE_SECONDS)
        return await super().claim(session, queues, limit=limit)

    async def claim_when_rung(
        self, session: SessionId, queues: Sequence[str], *, limit: int, timeout: timedelta
    ) -> tuple[bool, list[Lease]]:
        """Wait and claim, a little later: usually the worker has been stopped by then."""
        await asyncio.sleep(_ASIDE_SECONDS)
        return await super().claim_when_rung(session, queues, limit=limit, timeout=timeout)


class SlowClock(SystemClock):
    """Goes at a hundredth of the speed, since counting makes everything slower by as much.

    Otherwise the worker would take messages for slow ones, and claim fewer at once.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()

    def monotonic(self) -> float:
        """Return seconds."""
        return self._began + (time.monotonic() - self._began) / 100


async def drain(server: Server) -> Cost:
    """Drain with a worker."""
    tally = CountingTally()
    broker = octoqueue.LaneBroker(source=FactorySource(lambda: PatientStore(server.url, tally)))
    actors = actors_on(broker)

    async def once(tracer: Tracer) -> None:
        await fill(actors.noop, MESSAGES)
        worker = Worker(broker, WorkerOptions(queues=(QUEUE,)), clock=SlowClock())

        def done() -> None:
            tracer.stop()
            worker.stop()

        tally.reset(done)
        tally.tracer = tracer
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await worker.run()
        assert tally.acked == MESSAGES, tally.acked

    async with broker.connected():
        return await _best(server, once)


async def bare_drain(server: Server) -> Cost:
    """Drain with the bare loop."""
    async with producer(server.url) as actors, Redis.from_url(server.url) as redis:

        async def once(tracer: Tracer) -> None:
            await redis.rpush(LIST, *payloads(actors.noop, MESSAGES))
            with traced(tracer):
                await drain_list(redis, LIST, MESSAGES)

        return await _best(server, once)


def _enqueueing(
    send: Callable[[Actors], Awaitable[object]], *, count: int = MESSAGES
) -> Callable[[Server], Awaitable[Cost]]:
    async def counted(server: Server) -> Cost:
        async with producer(server.url) as actors:

            async def once(tracer: Tracer) -> None:
                with traced(tracer):
                    await send(actors)

            return await _best(server, once, count=count)

    return counted


async def one_by_one(actors: Actors) -> None:
    """Await each send."""
    for _ in range(_SINGLE):
        await actors.noop.asend()


async def concurrently(actors: Actors) -> None:
    """Await each send in a hundred coroutines."""

    async def send() -> None:
        for _ in range(MESSAGES // _COROUTINES):
            await actors.noop.asend()

    await asyncio.gather(*(send() for _ in range(_COROUTINES)))


async def in_bulk(actors: Actors) -> None:
    """Build and send one list."""
    await fill(actors.noop, MESSAGES)


async def bare_push(server: Server) -> Cost:
    """Await each push of one message, by redis-py."""
    async with producer(server.url) as actors, Redis.from_url(server.url) as redis:
        encoded = payloads(actors.noop, _SINGLE)

        async def once(tracer: Tracer) -> None:
            with traced(tracer):
                for payload in encoded:
                    await redis.lpush(LIST, payload)

        return await _best(server, once, count=_SINGLE)


DRAIN, PUSH = "bare loop", "bare push"
REFERENCES = {DRAIN: bare_drain, PUSH: bare_push}
CASES = (
    Case("drain", f"{MESSAGES} no-op messages drained by one worker", drain, DRAIN),
    Case("asend", "asend, awaited one by one", _enqueueing(one_by_one, count=_SINGLE), PUSH),
    Case("asend-100", f"asend in {_COROUTINES} coroutines", _enqueueing(concurrently), PUSH),
    Case("asend-many", f"asend_many of {MESSAGES}", _enqueueing(in_bulk), PUSH),
)

assert MESSAGES <= BATCH
