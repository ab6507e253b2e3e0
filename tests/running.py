# ruff: noqa: ANN401 - a fake takes what its original takes
"""A worker on the event loop of a test, and a store that can be watched and made to fail."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, cast

import orjson

from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.sources import FactorySource
from octoqueue.errors import StoreUnavailable
from octoqueue.lanes.options import LaneOptions
from octoqueue.runtime.worker import Worker, WorkerOptions
from octoqueue.testing.memory_lanes import MemoryLaneStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.messages import QueueStats

PATIENCE_SECONDS = 15
SHORTLY = timedelta(seconds=PATIENCE_SECONDS)
MOMENT = timedelta(milliseconds=1)


class WatchedStore:
    """Another store, with every call recorded and any call made to fail."""

    def __init__(self, store: LaneStore | None = None) -> None:
        self.inner: LaneStore = store or MemoryLaneStore()
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}
        self.after: dict[str, Callable[[], Awaitable[None]]] = {}

    @property
    def lanes(self) -> LaneStore:
        """Itself, as what it stands in for."""
        return cast("LaneStore", self)

    def called(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """The arguments of every call of a method so far."""
        return [(args, kwargs) for verb, args, kwargs in self.calls if verb == name]

    def fail(self, name: str, *errors: BaseException, lost_answer: bool = False) -> None:
        """Let the next calls of a method raise, before or (its answer lost) after its effect."""
        left = list(errors)

        async def raise_next() -> None:
            if left:
                raise left.pop(0)

        (self.after if lost_answer else self.before)[name] = raise_next

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if not iscoroutinefunction(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, args, kwargs))
            if name in self.before:
                await self.before[name]()
            answer = await method(*args, **kwargs)
            if name in self.after:
                await self.after[name]()
            return answer

        return call


def broker_on(store: Any = None, **options: Any) -> LaneBroker:
    """A broker whose every store is `store`."""
    shared = store or MemoryLaneStore()
    return LaneBroker(source=FactorySource(lambda: shared), **options)


def memory_store(**options: Any) -> MemoryLaneStore:
    """A memory store with these lane options."""
    return MemoryLaneStore(LaneOptions(**options))


@asynccontextmanager
async def running(broker: LaneBroker, *queues: str, **options: Any) -> AsyncGenerator[Worker]:
    """A worker for the length of the block; it has claimed once, and is stopped at the end."""
    hooks = {name: options.pop(name, None) for name in ("on_bell", "on_work")}
    options.setdefault("drain", timedelta(seconds=5))
    worker = Worker(broker, WorkerOptions(queues=queues or ("default",), **options), **hooks)
    task = asyncio.create_task(worker.run())
    started = asyncio.create_task(worker.started.wait())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.wait((task, started), return_when=asyncio.FIRST_COMPLETED)
        yield worker
    finally:
        started.cancel()
        worker.stop()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await task


async def until(fact: Callable[[], Any]) -> None:
    """Return as soon as a fact holds that nobody announces."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = fact()
            if hasattr(answer, "__await__"):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(0.002)


async def until_done(store: Any, queue: str, count: int) -> QueueStats:
    """Return the statistics of a queue once `count` messages are acked or dead."""

    async def done() -> bool:
        counters = (await store.stats(queue)).counters
        return bool(counters.get("acked", 0) + counters.get("dead", 0) >= count)

    await until(done)
    found: QueueStats = await store.stats(queue)
    return found


async def reason_of_death(store: Any, queue: str) -> dict[str, Any]:
    """Return the reason of the newest dead letter."""
    await until(lambda: _is_any(store, queue))
    reason: dict[str, Any] = orjson.loads((await store.dead_letters(queue))[0].reason)
    return reason


async def _is_any(store: Any, queue: str) -> bool:
    return bool(await store.dead_letters(queue))


def gone() -> StoreUnavailable:
    """What a store raises when its server cannot be reached."""
    return StoreUnavailable("Redis", reason="the test says so")


@dataclass
class Gate:
    """Where an actor waits until the test lets it go on."""

    entered: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_through(self) -> None:
        """Say that somebody is here, and wait."""
        self.entered.set()
        await self.opened.wait()
