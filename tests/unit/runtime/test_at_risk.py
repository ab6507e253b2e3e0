"""What a worker would lose: time since the checkpoints of what it runs, and what that cost."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import octoqueue
from octoqueue.errors import InvalidMessage
from octoqueue.primitives.signals import Presence
from octoqueue.runtime.presence import AtRisk
from tests.running import MOMENT, WatchedStore, broker_on, memory_store, running, until

if TYPE_CHECKING:
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.runtime.worker import Worker


@pytest.fixture
def store() -> LaneStore:
    return memory_store()


NOTHING = AtRisk()


class Stage:
    """What an actor of these tests waits for, and what it does then."""

    def __init__(self) -> None:
        self.reached = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def pause(self) -> None:
        self.reached.release()
        assert self.go_on.acquire(timeout=15)

    async def apause(self) -> None:
        await asyncio.to_thread(self.pause)

    async def wait(self) -> None:
        assert await asyncio.to_thread(self.reached.acquire, timeout=15)


async def test_what_runs_is_at_risk_since_it_began_and_nothing_is_when_it_has_ended(
    store: LaneStore,
) -> None:
    broker, stage = broker_on(store), Stage()

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        await stage.apause()

    async with broker.connected(), running(broker) as worker:
        assert worker.at_risk() == NOTHING
        await work.asend()
        await work.asend()
        await stage.wait()
        await stage.wait()
        await until(lambda: worker.at_risk().seconds > 0.02)
        risk = worker.at_risk()
        assert risk.cost == 0
        assert 0 < risk.longest_seconds < risk.seconds <= 2 * risk.longest_seconds
        stage.go_on.release(2)
        await until(lambda: not worker.running)
        assert worker.at_risk() == NOTHING


async def _spends_and_checkpoints(worker: Worker, stage: Stage) -> None:
    await stage.wait()
    await until(lambda: worker.at_risk().seconds > 0.2)
    assert worker.at_risk().cost == 0.75
    stage.go_on.release()
    await stage.wait()
    after = worker.at_risk()
    assert after.cost == 0
    assert after.seconds < 0.2
    stage.go_on.release()
    await stage.wait()
    assert worker.at_risk().cost == 2
    stage.go_on.release()
    await until(lambda: not worker.running)


async def test_a_checkpoint_in_an_async_actor_begins_anew(store: LaneStore) -> None:
    broker, stage = broker_on(store), Stage()

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        octoqueue.spent(0.5)
        octoqueue.spent(0.25)
        await stage.apause()
        octoqueue.checkpoint()
        await stage.apause()
        octoqueue.spent(2)
        await stage.apause()

    async with broker.connected(), running(broker) as worker:
        await work.asend()
        await _spends_and_checkpoints(worker, stage)


async def test_a_checkpoint_in_a_thread_begins_anew(store: LaneStore) -> None:
    broker, stage = broker_on(store), Stage()

    @octoqueue.actor(broker=broker)
    def work() -> None:
        octoqueue.spent(0.5)
        octoqueue.spent(0.25)
        stage.pause()
        octoqueue.checkpoint()
        stage.pause()
        octoqueue.spent(2)
        stage.pause()

    async with broker.connected(), running(broker) as worker:
        await work.asend()
        await _spends_and_checkpoints(worker, stage)


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_batch_counts_its_time_once_and_its_checkpoint_for_all(
    store: LaneStore, *, is_async: bool
) -> None:
    broker, stage = broker_on(store), Stage()
    batch = octoqueue.Batch(max_size=4, max_wait=timedelta(milliseconds=10))

    @octoqueue.actor(broker=broker, batch=batch)
    async def on_the_loop(numbers: list[int]) -> None:
        octoqueue.spent(3)
        await stage.apause()
        octoqueue.checkpoint()
        await stage.apause()

    @octoqueue.actor(broker=broker, batch=batch)
    def in_a_thread(numbers: list[int]) -> None:
        octoqueue.spent(3)
        stage.pause()
        octoqueue.checkpoint()
        stage.pause()

    work = on_the_loop if is_async else in_a_thread
    async with broker.connected(), running(broker) as worker:
        await octoqueue.asend_many([work.message(n) for n in range(4)], broker=broker)
        await stage.wait()
        began = asyncio.get_running_loop().time()
        await until(lambda: worker.at_risk().seconds > 0.3)
        assert len(worker.running) == 4
        # Four times as long, had each message counted.
        assert asyncio.get_running_loop().time() - began > 0.2
        assert worker.at_risk().cost == 3
        stage.go_on.release()
        await stage.wait()
        assert worker.at_risk().seconds < 0.3
        assert worker.at_risk().cost == 0
        stage.go_on.release()
        await until(lambda: not worker.running)


async def test_a_message_that_waits_for_a_thread_or_its_batch_has_nothing_to_lose(
    store: LaneStore,
) -> None:
    broker, stage = broker_on(store), Stage()

    @octoqueue.actor(broker=broker)
    def work() -> None:
        octoqueue.checkpoint()
        stage.pause()

    @octoqueue.actor(
        broker=broker, batch=octoqueue.Batch(max_size=9, max_wait=timedelta(minutes=1))
    )
    async def together(numbers: list[int]) -> None:
        octoqueue.checkpoint()

    async with broker.connected(), running(broker, threads=1) as worker:
        await together.asend(1)
        await until(lambda: len(worker.running) == 1)
        assert worker.at_risk() == NOTHING
        await work.asend()
        await stage.wait()
        await work.asend()
        await until(lambda: len(worker.running) == 3)
        entered = [attempt for attempt in worker.running if attempt.entered is not None]
        assert len(entered) == 1
        stage.go_on.release(2)
        await until(lambda: len(worker.running) == 1)


async def test_a_cancelled_message_is_not_at_risk(store: LaneStore) -> None:
    broker, stage = broker_on(store), Stage()

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.shield(stage.apause())

    async with broker.connected(), running(broker, drain=MOMENT) as worker:
        await work.asend()
        await until(lambda: worker.at_risk().seconds > 0)
        (attempt,) = worker.running
        attempt.cancelled = "no longer wanted"
        assert worker.at_risk() == NOTHING
        stage.go_on.release()


def test_outside_an_actor_it_does_nothing() -> None:
    octoqueue.checkpoint()
    octoqueue.spent(1)


@pytest.mark.parametrize("cost", [-1, float("nan"), float("inf")])
def test_an_impossible_cost_is_refused(cost: float) -> None:
    with pytest.raises(InvalidMessage, match="cost"):
        octoqueue.spent(cost)


async def test_a_message_that_never_tells_carries_nothing_of_it(store: LaneStore) -> None:
    broker, told = broker_on(store), list[bool]()

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        message = octoqueue.current_message()
        told.append(hasattr(message, "ventured"))

    async with broker.connected(), running(broker):
        await work.asend()
        await until(lambda: told)
    assert told == [False]


async def test_an_actor_that_blocks_the_loop_from_its_first_instruction_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("octoqueue.runtime.heartbeat._BLOCKED_SECONDS", 0.7)
    store = WatchedStore(memory_store(lease=timedelta(milliseconds=400)))
    broker, told = broker_on(store), list[Presence]()

    @octoqueue.actor(broker=broker)
    async def compute() -> None:
        for _ in range(1_000):
            said = [args[1] for args, _ in store.called("extend") if len(args) > 1]
            if said and said[-1].at_risk_seconds >= 0.7:
                told.append(said[-1])
                return
            time.sleep(0.01)  # noqa: ASYNC251 - it blocks the loop on purpose

    async with broker.connected(), running(broker) as worker:
        await compute.asend()
        await until(lambda: told)
        assert told[0].running == 1
        assert worker.at_risk() == NOTHING


# ── quiet ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_quiet_worker_claims_nothing_more_and_waits_for_what_runs_beyond_its_drain_time(
    store: LaneStore,
) -> None:
    broker, stage, ran = broker_on(store), Stage(), list[int]()

    @octoqueue.actor(broker=broker)
    async def work(number: int) -> None:
        await stage.apause()
        ran.append(number)

    async with broker.connected(), running(broker, drain=MOMENT) as worker:
        await work.asend(1)
        await stage.wait()
        worker.quiet()
        await work.asend(2)
        await until(lambda: worker.at_risk().seconds > 0.05)  # longer than its drain time
        assert len(worker.running) == 1
        stage.go_on.release()
        await until(lambda: ran)
        assert ran == [1]
        await until(lambda: not worker.running)
        assert (await store.stats("default")).waiting == 1
