# ruff: noqa: ANN401 - options of actors have no narrower type
"""`notify_shutdown` of dramatiq: actors that wish to know at once that their worker stops."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from dramatiq.middleware import Shutdown, ShutdownNotifications

import octoqueue
from octoqueue.errors import DeclarationError
from octoqueue.primitives.envelope import unpack_header
from octoqueue.primitives.lane import Lane
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.running import broker_on, reason_of_death, running, until

HOUR_SECONDS = 3600
NEVER = timedelta(hours=1)


class Work:
    """Two actors that take an hour, in both colours, and what they saw."""

    def __init__(self, **options: Any) -> None:
        self.store = MemoryLaneStore()
        self.broker = broker_on(self.store)
        self.begun = threading.Event()
        self.seen: list[str] = []
        declare = octoqueue.actor(broker=self.broker, queue="default", **options)
        self.actors = {
            "async": declare(self.wait_on_the_loop),
            "sync": declare(self.wait_in_a_thread),
        }

    async def wait_on_the_loop(self) -> None:
        self.begun.set()
        try:
            await asyncio.sleep(HOUR_SECONDS)
        except asyncio.CancelledError:
            self.seen.append("told")
            raise

    def wait_in_a_thread(self) -> None:
        self.begun.set()
        try:
            while True:
                threading.Event().wait(0.005)
        except Shutdown:
            self.seen.append("told")
            raise

    async def stop_while_running(self, kind: str, **options: Any) -> None:
        """Run one message until its worker has stopped."""
        async with running(self.broker, drain=NEVER) as worker:
            await self.broker.aenqueue(self.actors[kind].message_with_options(**options))
            await until(self.begun.is_set)
            worker.stop()
            await until_nothing_runs(self.store)


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_an_actor_that_gives_way_is_handed_back_at_once_and_costs_no_attempt(
    kind: str,
) -> None:
    work = Work(notify_shutdown=True, max_retries=0)
    await work.stop_while_running(kind)
    stats = await work.store.stats("default")
    assert work.seen == ["told"]
    assert (stats.waiting, stats.dead, stats.counters["released"]) == (1, 0, 1)
    payload = work.store._queue("default").ready[Lane.NORMAL][0]
    assert unpack_header(payload).attempt == 0


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_an_actor_may_finish_what_it_can_instead(kind: str) -> None:
    store = MemoryLaneStore()
    broker, begun = broker_on(store), threading.Event()

    async def finish_on_the_loop() -> str:
        begun.set()
        try:
            await asyncio.sleep(HOUR_SECONDS)
        except asyncio.CancelledError:
            return "saved"
        return "finished"

    def finish_in_a_thread() -> str:
        begun.set()
        try:
            while True:
                threading.Event().wait(0.005)
        except Shutdown:
            return "saved"

    declare = octoqueue.actor(broker=broker, name="work", notify_shutdown=True, results=True)
    work: Any = declare(finish_on_the_loop if kind == "async" else finish_in_a_thread)
    async with broker.connected():
        async with running(broker, drain=NEVER) as worker:
            handle = await work.asend()
            await until(begun.is_set)
            worker.stop()
            await until_nothing_runs(store)
        assert await handle.result() == "saved"


async def test_who_does_not_wish_to_know_gets_the_drain_time() -> None:
    store, gate = MemoryLaneStore(), asyncio.Event()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        began.set()
        await gate.wait()

    began = asyncio.Event()
    async with running(broker, drain=NEVER) as worker:
        await work.asend()
        await began.wait()
        worker.stop()
        asyncio.get_running_loop().call_later(0.02, gate.set)
        await until_nothing_runs(store)
    assert (await store.stats("default")).counters["acked"] == 1


async def test_a_message_may_wish_otherwise_than_its_actor() -> None:
    work = Work(notify_shutdown=False)
    await work.stop_while_running("sync", notify_shutdown=True)
    assert work.seen == ["told"]


async def test_the_middleware_may_wish_it_for_all() -> None:
    store = MemoryLaneStore()
    stack = [ShutdownNotifications(notify_shutdown=True)]
    broker, begun = broker_on(store, middleware=stack), asyncio.Event()

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        begun.set()
        await asyncio.sleep(HOUR_SECONDS)

    async with running(broker, drain=NEVER) as worker:
        await work.asend()
        await begun.wait()
        worker.stop()
        await until_nothing_runs(store)
    assert (await store.stats("default")).counters["released"] == 1


async def test_an_actor_that_declares_the_shutdown_as_its_error_is_dead_of_it() -> None:
    work = Work(notify_shutdown=True, throws=Shutdown)
    await work.stop_while_running("sync")
    assert (await reason_of_death(work.store, "default"))["error"] == "Shutdown"


async def test_one_that_waits_for_a_thread_is_handed_back_without_running() -> None:
    work = Work(notify_shutdown=True)
    async with running(work.broker, drain=NEVER, threads=1) as worker:
        for _ in range(2):
            await work.actors["sync"].asend()
        await until(work.begun.is_set)
        await until(lambda: _all_claimed(work.store))
        worker.stop()
        await until_nothing_runs(work.store)
    assert work.seen == ["told"]
    assert (await work.store.stats("default")).waiting == 2


async def until_nothing_runs(store: MemoryLaneStore) -> None:
    """Return when a worker that was asked to stop has ended all it ran."""

    async def is_idle() -> bool:
        return not (await store.stats("default")).in_flight

    await until(is_idle)


async def _all_claimed(store: MemoryLaneStore) -> bool:
    return not (await store.stats("default")).waiting


def test_the_option_is_true_or_false() -> None:
    with pytest.raises(DeclarationError, match="notify_shutdown"):
        Work(notify_shutdown="yes")


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_batch_that_gives_way_is_handed_back_and_costs_no_attempt(kind: str) -> None:
    store = MemoryLaneStore()
    broker, begun = broker_on(store), threading.Event()

    async def wait_on_the_loop(_: list[int]) -> None:
        begun.set()
        await asyncio.sleep(HOUR_SECONDS)

    def wait_in_a_thread(_: list[int]) -> None:
        begun.set()
        while True:
            threading.Event().wait(0.005)

    declare = octoqueue.actor(
        broker=broker,
        name="work",
        notify_shutdown=True,
        max_retries=0,
        batch=octoqueue.Batch(max_size=2),
    )
    work: Any = declare(wait_on_the_loop if kind == "async" else wait_in_a_thread)
    async with running(broker, drain=NEVER) as worker:
        for number in range(2):
            await work.asend(number)
        await until(begun.is_set)
        worker.stop()
        await until_nothing_runs(store)
    stats = await store.stats("default")
    assert (stats.waiting, stats.dead, stats.counters["released"]) == (2, 0, 2)
