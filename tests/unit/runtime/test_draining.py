"""How a worker stops: quiet, drained, released; and what a deploy costs a message."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from datetime import timedelta

import pytest

import octoqueue
from octoqueue.primitives.envelope import unpack_header
from octoqueue.primitives.lane import Lane
from octoqueue.runtime.executor import Executor
from octoqueue.runtime.worker import Worker, WorkerOptions
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.running import (
    Gate,
    WatchedStore,
    broker_on,
    gone,
    memory_store,
    running,
    until,
    until_done,
)

HOUR_SECONDS = 3600
NEVER = timedelta(hours=1)
NOW = timedelta(0)


async def test_a_stopping_worker_claims_nothing_more_and_lets_what_runs_finish() -> None:
    store, gate = WatchedStore(), Gate()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        await gate.pass_through()

    async with running(broker, drain=NEVER) as worker:
        await work.asend()
        await gate.entered.wait()
        worker.stop()
        await work.asend()
        await asyncio.sleep(0)
        gate.opened.set()
    stats = await store.stats("default")
    assert (stats.counters["acked"], stats.waiting, stats.in_flight) == (1, 1, 0)
    assert await store.extend(worker.session) is False


async def test_what_outlives_the_drain_is_handed_back_without_costing_an_attempt() -> None:
    store = MemoryLaneStore()
    broker, began = broker_on(store), list[str]()

    @octoqueue.actor(broker=broker)
    async def long() -> None:
        began.append("async")
        await asyncio.sleep(HOUR_SECONDS)

    @octoqueue.actor(broker=broker)
    def long_thread() -> None:
        began.append("sync")
        stop = threading.Event()
        while not stop.wait(0.001):
            pass

    async with running(broker, drain=NOW):
        await long.asend()
        await long_thread.asend()
        await until(lambda: len(began) == 2)
    stats = await store.stats("default")
    assert (stats.waiting, stats.in_flight, stats.delayed) == (2, 0, 0)
    assert stats.counters["released"] == 2
    for payload in store._queue("default").ready[Lane.NORMAL]:
        header = unpack_header(payload)
        assert (header.attempt, header.deliveries) == (0, 0)


async def test_an_error_that_comes_of_being_handed_back_costs_no_attempt() -> None:
    store, gate = MemoryLaneStore(), Gate()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def translate() -> None:
        try:
            await gate.pass_through()
        except asyncio.CancelledError:
            raise ConnectionError("the client library's way to say cancelled") from None

    async with running(broker, drain=NOW):
        await translate.asend()
        await gate.entered.wait()
    stats = await store.stats("default")
    assert (stats.waiting, stats.counters.get("retried", 0)) == (1, 0)


async def test_an_actor_that_finishes_within_the_grace_is_settled_by_its_own_ending() -> None:
    store, gate = MemoryLaneStore(), Gate()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def finish() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await gate.pass_through()

    async with running(broker, drain=NOW):
        await finish.asend()
        await gate.entered.wait()
    assert (await store.stats("default")).counters["acked"] == 1


async def test_a_second_request_to_stop_hurries() -> None:
    store, gate = MemoryLaneStore(), Gate()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def long() -> None:
        await gate.pass_through()

    async with running(broker, drain=NEVER) as worker:
        await long.asend()
        await gate.entered.wait()
        worker.stop()
    assert (await store.stats("default")).waiting == 1


async def test_an_actor_that_ignores_its_cancellation_does_not_hold_the_worker_up() -> None:
    store, gate = MemoryLaneStore(), Gate()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def deaf() -> None:
        gate.entered.set()
        while not gate.opened.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.opened.wait()

    async with running(broker, drain=NOW, grace=timedelta(milliseconds=20)):
        await deaf.asend()
        await gate.entered.wait()
    stats = await store.stats("default")
    assert (stats.waiting, stats.in_flight) == (1, 0)
    gate.opened.set()
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert (await store.stats("default")).counters.get("acked", 0) == 0


async def test_an_idle_worker_stops_at_once_and_one_that_runs_nothing_retires() -> None:
    store = WatchedStore()
    async with running(broker_on(store), look_every=NEVER) as worker:
        await until(lambda: store.called("claim_when_rung"))
    assert store.called("retire") == [((worker.session,), {})]


async def test_a_worker_stops_although_its_store_is_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = WatchedStore(memory_store(lease=timedelta(milliseconds=200)))
    broker, gate = broker_on(store), Gate()

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        await gate.pass_through()

    async with running(broker, drain=timedelta(milliseconds=50)):
        await work.asend()
        await gate.entered.wait()
        for verb in ("claim", "commit", "held", "retire", "wait_for_bell"):
            store.fail(verb, *[gone() for _ in range(1000)])
        gate.opened.set()
        await until(lambda: "commit_failed" in caplog.messages)
    assert (await store.inner.stats("default")).in_flight == 1


async def test_a_worker_that_is_cancelled_leaves_nothing_running() -> None:
    store, gate = WatchedStore(), Gate()
    broker, ended = broker_on(store), list[str]()

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        try:
            await gate.pass_through()
        finally:
            ended.append("ended")

    worker = Worker(broker, WorkerOptions(queues=("default",)))
    task = asyncio.create_task(worker.run())
    await work.asend()
    await gate.entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: ended)
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert (await store.stats("default")).in_flight == 1  # for a reclaimer, by its lease


async def test_a_lost_lease_stops_its_attempt_and_refuses_its_ending() -> None:
    store, gate = WatchedStore(memory_store(lease=timedelta(milliseconds=300))), Gate()
    broker, endings = broker_on(store), list[str]()

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        message = octoqueue.current_message()
        assert message is not None
        if message.deliveries:
            endings.append("second")
            return
        try:
            await gate.pass_through()
        except asyncio.CancelledError:
            endings.append("stopped")
            raise

    async def fail_to_renew() -> None:
        raise gone()

    async def is_reclaimed() -> bool:
        return bool(await store.reclaim())

    async with running(broker) as worker:
        await work.asend()
        await gate.entered.wait()
        store.before["extend"] = fail_to_renew
        await until(is_reclaimed)
        del store.before["extend"]
        await until_done(store, "default", 1)
        await until(lambda: worker._claimer.free == worker.options.concurrency)
    assert sorted(endings) == ["second", "stopped"]
    assert (await store.stats("default")).counters["acked"] == 1


async def test_what_waits_for_a_thread_is_not_begun_once_it_has_been_handed_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryLaneStore()
    broker, began = broker_on(store), list[int]()
    first, ended = threading.Event(), threading.Event()
    release_all = Executor.release_all

    async def release_and_free_the_thread(self: Executor, *, grace_seconds: float) -> int:
        released = await release_all(self, grace_seconds=grace_seconds)
        ended.set()
        await self._threads.call(first.is_set)  # its turn is after those that waited
        return released

    monkeypatch.setattr(Executor, "release_all", release_and_free_the_thread)

    @octoqueue.actor(broker=broker)
    def work(number: int) -> None:
        began.append(number)
        first.set()
        ended.wait()

    async with running(broker, drain=NOW, threads=1) as worker:
        for number in range(3):
            await work.asend(number)
        await until(
            lambda: first.is_set() and worker._claimer.free == worker.options.concurrency - 3
        )
    assert began == [0]
    assert (await store.stats("default")).waiting == 3


async def test_a_worker_that_retires_ends_by_itself_when_what_runs_has_ended_and_not_before() -> (
    None
):
    store, gate = WatchedStore(), Gate()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        await gate.pass_through()

    async with broker.connected():
        worker = Worker(broker, WorkerOptions(queues=("default",), drain=NOW))
        working = asyncio.create_task(worker.run())
        await work.asend()
        await gate.entered.wait()
        worker.retire()
        await work.asend()
        await until(lambda: worker.at_risk().seconds > 0.05)  # longer than its drain time
        assert not working.done()
        gate.opened.set()
        async with asyncio.timeout(10):
            await working
        stats = await store.stats("default")
        assert (stats.counters["acked"], stats.waiting, stats.in_flight) == (1, 1, 0)
