"""Whether putting in and taking out cost more when much is there already.

Each side is a namespace of its own on one Redis, filled once. A cycle puts a hundred messages in,
claims a hundred and acks them, so that what was there stays there; the time of each call is taken,
and the median of many is the figure of a round.

Messages with a tenant are never as cheap as plain ones, and a hundred of a hundred tenants, each
with a share to look up and a turn to note, not as cheap as a hundred of one. To see what those who
wait add, a thousand tenants are to be compared with the same messages where nobody waits; what
tenants cost beside one is told as well. A worker of a hundred queues is compared with a worker of
one.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

import octoqueue
from bench.harness import Bench, Figure, Ratio, Scenario, Side
from bench.load import BATCH
from octoqueue.broker.session_keeper import new_session
from octoqueue.lanes.options import LaneBounds, LaneOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from octoqueue.broker.actors import Actor
    from octoqueue.broker.handles import MessageHandle
    from octoqueue.primitives.messages import SessionId

_AT_ONCE = 100
_CYCLES = 30
_QUEUED = 1_000_000
_DELAYED = 10_000
_TENANTS = 1_000
_QUEUES = 100
_EACH = 100
"""Messages that wait in each of many queues."""
_WIDE = LaneBounds(high=10_000_000, normal=10_000_000, low=10_000_000)


Messages: TypeAlias = "list[MessageHandle[None]]"


@dataclass(frozen=True, slots=True)
class World:
    """A namespace."""

    broker: octoqueue.LaneBroker
    actors: Sequence[Actor[[], None]]
    """One a queue."""
    session: SessionId

    def plain(self, count: int, *, queue: int = 0) -> Messages:
        """Make messages of one queue."""
        return [self.actors[queue].message() for _ in range(count)]

    def of_tenants(self, count: int, *, tenants: int) -> Messages:
        """Make messages of so many tenants in turn."""
        senders = [self.actors[0].using(tenant=f"t{number}") for number in range(tenants)]
        return [senders[number % tenants].message() for number in range(count)]

    async def put(self, messages: Messages) -> None:
        """Enqueue them."""
        for first in range(0, len(messages), BATCH):
            await octoqueue.asend_many(messages[first : first + BATCH], broker=self.broker)


def _world(url: str, name: str, queues: int) -> World:
    options = LaneOptions(
        namespace=name, default_bounds=_WIDE, delayed_bound=10 * _DELAYED, lease=timedelta(hours=1)
    )
    broker = octoqueue.LaneBroker(url, options=options)

    def actor(number: int) -> Actor[[], None]:
        @octoqueue.actor(queue=f"q{number}", name=f"noop{number}", broker=broker)
        async def noop() -> None:
            pass

        return noop

    return World(broker, [actor(number) for number in range(queues)], new_session())


async def _cycles(
    world: World, made: Callable[[World], Messages], queues: Sequence[str]
) -> dict[str, float]:
    store, spent = world.broker.store(), defaultdict[str, list[float]](list)
    for _ in range(_CYCLES):
        messages = made(world)
        began = time.perf_counter()
        await world.put(messages)
        put = time.perf_counter()
        leases = await store.claim(world.session, queues, limit=_AT_ONCE)
        taken = time.perf_counter()
        await store.commit(world.session, acks=leases)
        acked = time.perf_counter()
        assert len(leases) == _AT_ONCE, len(leases)
        spent[ENQUEUE].append(put - began)
        spent[CLAIM].append(taken - put)
        spent[COMMIT].append(acked - taken)
    return {name: median(seconds) * 1e6 for name, seconds in spent.items()}


async def _nothing(_world: World) -> None:
    """Leave it empty."""


def _side(
    name: str,
    *,
    fill: Callable[[World], Awaitable[None]] = _nothing,
    made: Callable[[World], Messages] = lambda world: world.plain(_AT_ONCE),
    queues: int = 1,
    claims_from: int = 1,
) -> Side:
    claimed = tuple(f"q{number}" for number in range(claims_from))

    async def run(bench: Bench) -> Mapping[str, float]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[World]:
            world = _world(bench.server.url, re.sub(r"\W+", "-", name), queues)
            async with world.broker.connected():
                await fill(world)
                yield world

        world = await bench.stage.keep(name, opened)
        before = await bench.server.usage()
        figures = await _cycles(world, made, claimed)
        spent = await bench.server.usage() - before
        return figures | {REDIS: spent.cpu_seconds / (_CYCLES * _AT_ONCE) * 1e6}

    return Side(name, run)


async def _queued(world: World) -> None:
    for _ in range(0, _QUEUED, BATCH):
        await world.put(world.plain(BATCH))


async def _delayed(world: World) -> None:
    later = world.actors[0].using(delay=timedelta(hours=1))
    await world.put([later.message() for _ in range(_DELAYED)])


async def _many_tenants(world: World) -> None:
    await world.put(world.of_tenants(5 * _TENANTS, tenants=_TENANTS))


async def _many_queues(world: World) -> None:
    for queue in range(_QUEUES):
        await world.put(world.plain(_EACH, queue=queue))


ENQUEUE, CLAIM, COMMIT = "enqueue 100, µs", "claim 100, µs", "ack 100, µs"
REDIS = "Redis CPU µs a message"
EMPTY, ONE_TENANT, TENANTS = "empty", "one tenant", f"{_AT_ONCE} tenants, nobody waits"
MANY_TENANTS = f"{_TENANTS:,} tenants wait"
FULL, DELAYED = f"{_QUEUED:,} queued", f"{_DELAYED:,} delayed"
ONE_OF_MANY, ALL = f"one of {_QUEUES} queues", f"all of {_QUEUES} queues, one in use"

SCENARIO = Scenario(
    name="growth",
    most_rounds=3,
    question=f"{_AT_ONCE} messages put in, claimed and acked, beside what was there before",
    figures=(
        Figure(ENQUEUE, better="less"),
        Figure(CLAIM, better="less"),
        Figure(COMMIT, better="less"),
        Figure(REDIS, 1, better="less"),
    ),
    sides=(
        _side(EMPTY),
        _side(FULL, fill=_queued),
        _side(DELAYED, fill=_delayed),
        _side(ONE_OF_MANY, fill=_many_queues, queues=_QUEUES),
        _side(ALL, queues=_QUEUES, claims_from=_QUEUES),
        _side(ONE_TENANT, made=lambda world: world.of_tenants(_AT_ONCE, tenants=1)),
        _side(TENANTS, made=lambda world: world.of_tenants(_AT_ONCE, tenants=_TENANTS)),
        _side(
            MANY_TENANTS,
            fill=_many_tenants,
            made=lambda world: world.of_tenants(_AT_ONCE, tenants=_TENANTS),
        ),
    ),
    ratios=tuple(
        Ratio(of, to, figure)
        for figure in (ENQUEUE, CLAIM)
        for of, to in (
            (FULL, EMPTY),
            (DELAYED, EMPTY),
            (ONE_OF_MANY, EMPTY),
            (ALL, EMPTY),
            (MANY_TENANTS, TENANTS),
            (TENANTS, ONE_TENANT),
        )
    ),
    clears=False,
)
