"""Our worker on a real Redis: what an idle one costs, who wakes it, and what an outage does."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.lanes.options import LaneOptions
from octoqueue.maintenance.promoter import Promoter
from octoqueue.maintenance.reclaimer import Reclaimer
from octoqueue.primitives.service import ServiceGroup
from tests.contract.redis_processes import RedisProcess
from tests.running import SHORTLY, Gate, running, until, until_done

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from octoqueue.runtime.worker import Worker

HOUR = timedelta(hours=1)
QUEUES = ("planner", "executor", "coder", "judge", "guardian", "retriever", "admin")


def broker_at(url: str, lease: timedelta = timedelta(seconds=10)) -> LaneBroker:
    return LaneBroker(url, options=LaneOptions(namespace=f"t{uuid4().hex[:8]}", lease=lease))


@pytest.fixture
def redis(state_dir: Path) -> Iterator[RedisProcess]:
    process = RedisProcess(state_dir, settings=("--appendonly", "yes", "--appendfsync", "always"))
    process.start()
    yield process
    process.kill()


async def test_an_idle_worker_of_seven_queues_costs_redis_almost_nothing(
    redis: RedisProcess,
) -> None:
    broker = broker_at(redis.url)
    seconds = 3
    async with broker.connected(), running(broker, *QUEUES):
        store = broker.store()
        async with ServiceGroup([Promoter(store, QUEUES), Reclaimer(store)]):
            await asyncio.sleep(0.2)
            before = sent_commands(redis)
            await asyncio.sleep(seconds)
            count = sent_commands(redis) - before
    assert count < 10 * seconds + 2


def sent_commands(redis: RedisProcess) -> int:
    """What clients have sent; what a script does inside is not sent."""
    told: dict[str, dict[str, int]] = redis.ask("INFO", "commandstats")
    sent = ("blpop", "eval", "evalsha", "sadd", "hgetall", "rpush", "ping", "subscribe")
    return sum(told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in sent)


async def test_a_message_wakes_an_idle_worker_by_the_bell_alone(redis_url: str) -> None:
    broker = broker_at(redis_url)

    @octoqueue.actor(broker=broker, results=True)
    async def double(number: int) -> int:
        return number * 2

    async with broker.connected(), running(broker, look_every=HOUR):
        for number in range(100):
            handle = await double.asend(number)
            assert await handle.result(timeout=SHORTLY) == number * 2


async def test_each_of_several_idle_workers_is_woken_while_there_is_work(redis_url: str) -> None:
    broker, gate, ran = broker_at(redis_url), Gate(), list[int]()

    @octoqueue.actor(broker=broker)
    async def meet(number: int) -> None:
        ran.append(number)
        await gate.pass_through()

    def worker() -> AbstractAsyncContextManager[Worker]:
        return running(broker, concurrency=1, look_every=HOUR)

    async with broker.connected(), worker(), worker(), worker():
        await octoqueue.asend_many([meet.message(n) for n in range(6)], broker=broker)
        await until(lambda: len(ran) == 3)
        gate.opened.set()
        await until_done(broker.store(), "default", 6)
    assert sorted(ran) == list(range(6))


async def test_a_stopping_worker_passes_the_bell_to_an_idle_one(redis_url: str) -> None:
    broker, ran = broker_at(redis_url), list[int]()

    @octoqueue.actor(broker=broker)
    async def work(number: int) -> None:
        ran.append(number)

    async with broker.connected(), running(broker, look_every=HOUR):
        for number in range(20):
            async with running(broker, look_every=HOUR) as other:
                sending = asyncio.create_task(work.asend(number))
                other.stop()
                await sending
            await until_done(broker.store(), "default", number + 1)
    assert sorted(ran) == list(range(20))


async def test_a_worker_recovers_by_itself_when_redis_is_killed_and_comes_back(
    redis: RedisProcess,
) -> None:
    broker, ran = broker_at(redis.url, lease=timedelta(seconds=30)), Counter[int]()
    count = 400

    @octoqueue.actor(broker=broker)
    async def work(number: int) -> None:
        ran[number] += 1
        await asyncio.sleep(0.003)

    async with broker.connected():
        await octoqueue.asend_many([work.message(n) for n in range(count)], broker=broker)
        async with running(broker, concurrency=10) as worker:
            await until(lambda: len(ran) > 100)
            await asyncio.to_thread(redis.kill)
            assert len(ran) < count
            await asyncio.to_thread(redis.start)
            await until_done(broker.store(), "default", count)
            await until(lambda: worker._claimer.free == 10)
            assert not await broker.store().held(worker.session, ["default"])
        stats = await broker.store().stats("default")
    # The session outlived the outage, so nothing was reclaimed and nothing ran twice.
    assert (set(ran.values()), len(ran)) == ({1}, count)
    assert (stats.waiting, stats.in_flight, stats.dead) == (0, 0, 0)
    assert stats.counters["acked"] == count


async def test_delayed_and_retried_messages_run_when_they_are_due(redis_url: str) -> None:
    broker, attempts = broker_at(redis_url), list[int]()

    @octoqueue.actor(broker=broker, results=True, max_retries=2, min_backoff=timedelta(0))
    async def third_time() -> int:
        message = octoqueue.current_message()
        assert message is not None
        attempts.append(message.attempt)
        if message.attempt < 2:
            raise octoqueue.Retry(delay=timedelta(milliseconds=20))
        return message.attempt

    async with broker.connected():
        promoter = Promoter(broker.store(), ["default"], look_every=HOUR)
        async with (
            ServiceGroup([promoter]),
            running(broker, on_bell=promoter.nudge, look_every=HOUR),
        ):
            handle = await third_time.using(delay=timedelta(milliseconds=30)).asend()
            assert await handle.result(timeout=SHORTLY) == 2
    assert attempts == [0, 1, 2]


async def test_follow_ups_results_and_dead_letters_are_one_commit_on_redis_too(
    redis_url: str,
) -> None:
    broker = broker_at(redis_url)

    @octoqueue.actor(broker=broker, queue="other", results=True)
    async def child(number: int) -> int:
        return number

    @octoqueue.actor(broker=broker, results=True)
    async def parent() -> list[int]:
        handles = await octoqueue.asend_many([child.message(n) for n in (1, 2)], broker=broker)
        waited = [await handle.result(timeout=SHORTLY) for handle in handles]
        await child.asend(3)
        return waited

    async with broker.connected(), running(broker, "default", "other"):
        handle = await parent.asend()
        assert await handle.result(timeout=SHORTLY) == [1, 2]
        stats = await until_done(broker.store(), "other", 3)
    assert stats.in_flight == 0


async def test_the_same_message_sent_twice_runs_twice_and_leaves_nothing_behind(
    redis_url: str,
) -> None:
    broker, ran = broker_at(redis_url), list[str]()

    @octoqueue.actor(broker=broker)
    async def note() -> None:
        message = octoqueue.current_message()
        assert message is not None
        ran.append(message.message_id)

    message_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    async with broker.connected():
        for _ in range(2):
            await note.using(message_id=message_id).asend()
        async with running(broker) as worker:
            await until(lambda: len(ran) == 2)
            await until(lambda: worker._claimer.free == worker.options.concurrency)
        stats = await broker.store().stats("default")
    assert ran == [message_id] * 2
    assert (stats.waiting, stats.in_flight) == (0, 0)
