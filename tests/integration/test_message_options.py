"""Gates and the life of a message on a real Redis, through the broker and our worker."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dramatiq
import pytest

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.sources import FactorySource
from octoqueue.errors import ActorFailed, DuplicateMessage
from octoqueue.lanes.answers import CancelOutcome
from octoqueue.lanes.finding import Cause, State
from octoqueue.lanes.options import LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.maintenance.promoter import Promoter
from octoqueue.primitives.service import ServiceGroup
from octoqueue.redis.client import RedisClient
from octoqueue.settings.root import Settings
from tests.running import SHORTLY, Gate, running, until, until_done

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.runtime.worker import Worker

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["whole", "apart"])
def broker(redis_url: str, request: pytest.FixtureRequest) -> LaneBroker:
    """A broker whose calls cover all partitions, or, as on Redis Cluster, one each."""
    options = LaneOptions(namespace=f"t{uuid4().hex[:8]}", partitions=3)
    if request.param == "whole":
        return LaneBroker(redis_url, options=options)

    def open_store() -> RedisLaneStore:
        return RedisLaneStore(RedisClient(redis_url), options, per_partition=True)

    return LaneBroker(source=FactorySource(open_store))


@asynccontextmanager
async def working(broker: LaneBroker, *queues: str, **options: Any) -> AsyncGenerator[Worker]:  # noqa: ANN401 - options of the worker
    """A worker with what promotes beside it."""
    names = queues or ("default",)
    async with broker.connected():
        promoter = Promoter(broker.store(), names)
        options["on_bell"] = promoter.nudge
        async with ServiceGroup([promoter]), running(broker, *names, **options) as worker:
            yield worker


class Meter:
    """Counts how many are inside at once."""

    def __init__(self) -> None:
        self.inside = self.most = self.total = 0

    async def pass_through(self, seconds: float = 0.01) -> None:
        """Be inside for a while."""
        self.inside += 1
        self.total += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(seconds)
        self.inside -= 1


async def test_an_actors_cap_holds_in_all_workers_together(broker: LaneBroker) -> None:
    meter, free = Meter(), Meter()

    @octoqueue.actor(broker=broker, concurrency=3)
    async def capped() -> None:
        await meter.pass_through()

    @octoqueue.actor(broker=broker)
    async def uncapped() -> None:
        await free.pass_through()

    async with working(broker), running(broker):
        await octoqueue.asend_many([capped.message() for _ in range(30)])
        await octoqueue.asend_many([uncapped.message() for _ in range(30)])
        await until_done(broker.store(), "default", 60)
    assert meter.total == 30
    assert 2 <= meter.most <= 3  # apart, each partition has one of the three places
    assert free.most > 3


async def test_a_queues_cap_comes_from_the_configuration(redis_url: str) -> None:
    meter, broker = Meter(), LaneBroker(redis_url)
    settings = Settings.model_validate(
        {
            "namespace": f"t{uuid4().hex[:8]}",
            "lanes": {"queues": {"coder": {"concurrency": 2}}},
        }
    )

    @octoqueue.actor(broker=broker, queue="coder")
    async def work() -> None:
        await meter.pass_through()

    async with broker.connected(settings), running(broker, "coder"), running(broker, "coder"):
        await octoqueue.asend_many([work.message() for _ in range(20)])
        await until_done(broker.store(), "coder", 20)
    assert (meter.total, meter.most) == (20, 2)


async def test_tenants_take_turns_and_keep_their_caps(redis_url: str) -> None:
    broker, order = LaneBroker(redis_url), list[str]()
    meters = {"busy": Meter(), "quiet": Meter()}
    settings = Settings.model_validate(
        {"namespace": f"t{uuid4().hex[:8]}", "tenants": {"busy": {"concurrency": 2}}}
    )

    @octoqueue.actor(broker=broker)
    async def work(tenant: str) -> None:
        order.append(tenant)
        await meters[tenant].pass_through(0.002)

    async with broker.connected(settings):
        await octoqueue.asend_many([work.using(tenant="busy").message("busy") for _ in range(40)])
        await octoqueue.asend_many([work.using(tenant="quiet").message("quiet") for _ in range(5)])
        async with running(broker, concurrency=4):
            await until_done(broker.store(), "default", 45)
    assert meters["busy"].most == 2
    assert max(number for number, tenant in enumerate(order) if tenant == "quiet") < 20


async def test_a_rate_limit_spreads_starts_and_settling_gives_back(broker: LaneBroker) -> None:
    started: list[float] = []
    slow = octoqueue.RateLimit("slow", rate=100, burst=10)

    @octoqueue.actor(broker=broker, limits=[slow.uses(units=10)])
    async def costly() -> None:
        started.append(time.monotonic())

    slower = octoqueue.RateLimit("slower", rate=10, burst=10)

    @octoqueue.actor(broker=broker, queue="cheap", limits=[slower.uses(units=10)])
    async def cheap() -> None:
        message = octoqueue.current_message()
        assert message is not None
        message.settle("slower", units=1)

    async with working(broker, "default", "cheap"):
        sent = time.monotonic()  # the first may begin late, the last not early
        await octoqueue.asend_many([costly.message() for _ in range(6)])
        await until_done(broker.store(), "default", 6)
        began = time.monotonic()
        for _ in range(10):  # reserved 100 units, which take 9 s, and used 10
            before = (await broker.store().stats("cheap")).counters.get("acked", 0)
            await cheap.asend()
            await until_done(broker.store(), "cheap", before + 1)
    # 5 times 10 units at 100 a second; apart, where two in each partition share a third of it, 0.3
    assert started[-1] - sent >= 0.29
    assert time.monotonic() - began < 7


async def test_a_duplicate_shares_the_result_of_the_first(broker: LaneBroker) -> None:
    gate, runs = Gate(), list[str]()

    @octoqueue.actor(broker=broker, unique=octoqueue.Unique(), results=True)
    async def refresh(user: str) -> str:
        runs.append(user)
        await gate.pass_through()
        return f"{user}!"

    async with working(broker):
        first = await refresh.asend("a")
        await gate.entered.wait()
        second = await refresh.asend("a")
        gate.opened.set()
        assert await second.result(timeout=SHORTLY) == await first.result(timeout=SHORTLY) == "a!"
        third = await refresh.asend("a")
        await third.result(timeout=SHORTLY)
    assert (first.duplicate, second.duplicate, third.duplicate) == (False, True, False)
    assert runs == ["a", "a"]


async def test_a_duplicate_may_be_an_error_and_a_window_outlives_the_message(
    broker: LaneBroker,
) -> None:
    unique = octoqueue.Unique(until=MINUTE, on_duplicate="error")

    @octoqueue.actor(broker=broker, unique=unique, results=True)
    async def report(day: int) -> int:
        return day

    async with working(broker):
        first = await report.asend(1)
        await first.result(timeout=SHORTLY)
        with pytest.raises(DuplicateMessage) as refused:
            await report.asend(1)
        assert refused.value.existing == first.message_id
        await report.using(unique="another").asend(1)


async def test_a_hundred_senders_at_once_store_one_message_with_a_key(broker: LaneBroker) -> None:
    @octoqueue.actor(broker=broker, unique=octoqueue.Unique())
    async def refresh(user: str) -> None: ...

    async with broker.connected():
        handles = await asyncio.gather(*(refresh.asend("a") for _ in range(100)))
        stats = await broker.store().stats("default")
    assert len({handle.message_id for handle in handles}) == 1
    assert sum(handle.duplicate for handle in handles) == 99
    assert stats.waiting == 1


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_running_message_is_cancelled_at_once(broker: LaneBroker, kind: str) -> None:
    entered, cleaned_up = threading.Event(), threading.Event()

    async def on_loop() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    def in_thread() -> None:
        entered.set()
        try:
            while True:
                threading.Event().wait(0.001)
        finally:
            cleaned_up.set()

    work: Any = octoqueue.actor(broker=broker, name="work", results=True)(
        on_loop if kind == "async" else in_thread
    )
    async with working(broker):
        handle = await work.asend()
        await until(entered.is_set)
        began = time.monotonic()
        assert await handle.acancel("enough") is CancelOutcome.STOPPING
        with pytest.raises(ActorFailed, match="enough") as failed:
            await handle.result(timeout=SHORTLY)
        assert time.monotonic() - began < 2  # told, not found by the next beat
        assert (await broker.afind(handle.message_id)).state is not State.RUNNING
    assert failed.value.error == "Cancelled"
    assert cleaned_up.is_set()


async def test_waiting_delayed_and_gated_messages_are_cancelled(broker: LaneBroker) -> None:
    ran: list[str] = []

    @octoqueue.actor(broker=broker, results=True)
    async def work(name: str) -> None:
        ran.append(name)

    async with broker.connected():
        handles = [
            await work.asend("waiting"),
            await work.using(delay=MINUTE).asend("delayed"),
            await work.using(tenant="acme").asend("gated"),
        ]
        last = await work.asend("last")
        outcomes = [await handle.acancel() for handle in handles]
        assert outcomes == [CancelOutcome.REMOVED] * 3
        async with running(broker):
            await last.result(timeout=SHORTLY)
        stats = await broker.store().stats("default")
    assert ran == ["last"]
    assert (stats.waiting, stats.delayed, stats.in_flight) == (0, 0, 0)


async def test_a_snoozed_message_comes_back_without_an_attempt(broker: LaneBroker) -> None:
    attempts: list[int] = []

    @octoqueue.actor(broker=broker, max_retries=0, unique=octoqueue.Unique())
    async def poll() -> None:
        message = octoqueue.current_message()
        assert message is not None
        attempts.append(message.attempt)
        if len(attempts) < 3:
            raise octoqueue.Snooze(timedelta(milliseconds=50))

    async with working(broker):
        await poll.asend()
        await until(lambda: attempts)
        assert (await poll.asend()).duplicate  # a snoozed message keeps its key
        stats = await until_done(broker.store(), "default", 1)
    assert attempts == [0, 0, 0]
    assert (stats.counters["snoozed"], stats.counters.get("dead", 0)) == (2, 0)


async def test_what_expires_while_it_waits_is_dropped_and_frees_its_key(broker: LaneBroker) -> None:
    ran: list[str] = []

    @octoqueue.actor(broker=broker, unique=octoqueue.Unique(), results=True)
    async def work() -> None:
        ran.append("work")

    async with broker.connected():
        handle = await work.using(expires=timedelta(milliseconds=10)).asend()
        moment = datetime.now(UTC) + timedelta(milliseconds=20)
        await until(lambda: datetime.now(UTC) > moment)
        async with running(broker):
            with pytest.raises(ActorFailed) as failed:
                await handle.result(timeout=SHORTLY)
            again = await work.asend()
            await again.result(timeout=SHORTLY)
        stats = await broker.store().stats("default")
    assert failed.value.error == "MessageExpired"
    assert (stats.counters["expired"], stats.dead) == (1, 0)
    assert not again.duplicate
    assert ran == ["work"]


async def test_pausing_moving_and_explaining(broker: LaneBroker) -> None:
    ran: list[str] = []

    @octoqueue.actor(broker=broker, lane="low", results=True)
    async def work(name: str) -> None:
        ran.append(name)

    async with working(broker):
        await broker.apause("default")
        first, second = await work.asend("first"), await work.asend("second")
        told = await broker.aexplain(second.message_id)
        assert Cause.PAUSED in told.causes
        assert (await broker.amove(second.message_id, "high")).lane is octoqueue.Lane.HIGH
        assert ran == []
        await broker.aresume("default")
        await first.result(timeout=SHORTLY)
        await second.result(timeout=SHORTLY)
        await until_done(broker.store(), "default", 2)
        assert (await broker.afind(first.message_id)).state is State.FINISHED
    assert ran == ["second", "first"]


async def test_dramatiqs_own_actors_and_worker_keep_caps_and_keys(redis_url: str) -> None:
    broker = LaneBroker(redis_url, options=LaneOptions(namespace=f"t{uuid4().hex[:8]}"))
    lock, now, most = threading.Lock(), list[int](), list[int]()

    @dramatiq.actor(broker=broker, concurrency=2, unique=octoqueue.Unique())
    def work(number: int) -> None:
        with lock:
            now.append(number)
            most.append(len(now))
        time.sleep(0.01)
        with lock:
            now.remove(number)

    def use() -> None:
        for number in [*range(10), *range(10)]:
            work.send(number)
        worker = dramatiq.Worker(broker, worker_threads=6, worker_timeout=100)
        worker.start()
        try:
            broker.join("default", timeout=15_000)
        finally:
            worker.stop()
            broker.close()

    await asyncio.to_thread(use)
    assert len(most) == 10
    assert max(most) <= 2


async def test_a_retry_in_dramatiqs_own_worker_keeps_the_key_and_the_gates(redis_url: str) -> None:
    broker = LaneBroker(redis_url, options=LaneOptions(namespace=f"t{uuid4().hex[:8]}"))
    attempts, duplicates = list[int](), list[bool]()
    unique = octoqueue.Unique()

    @dramatiq.actor(broker=broker, concurrency=1, unique=unique, max_retries=3, min_backoff=50)
    def work(number: int) -> None:
        attempts.append(number)
        if len(attempts) == 1:
            raise ValueError("once")
        if len(attempts) == 2:
            sent: Any = work.send(2)
            duplicates.append(sent.duplicate)

    def use() -> None:
        again: Any = work
        work.send(1)
        worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=100)
        worker.start()
        try:
            broker.join("default", timeout=15_000)
            duplicates.append(again.send(1).duplicate)
            broker.join("default", timeout=15_000)
        finally:
            worker.stop()
            broker.close()

    await asyncio.to_thread(use)
    assert sorted(attempts) == [1, 1, 1, 2]
    assert duplicates == [False, False]


async def test_what_came_too_late_is_dropped_by_dramatiqs_own_worker_too(redis_url: str) -> None:
    broker = LaneBroker(redis_url, options=LaneOptions(namespace=f"t{uuid4().hex[:8]}"))
    ran: list[int] = []

    @octoqueue.actor(broker=broker, expires=timedelta(milliseconds=20))
    def brief(number: int) -> None:
        ran.append(number)

    @dramatiq.actor(broker=broker)
    def work(number: int) -> None:
        ran.append(number)

    def use() -> None:
        brief.send(1)
        work.send_with_options(args=(2,), expires=20)
        work.send_with_options(args=(3,), deadline=datetime.now(UTC) + timedelta(milliseconds=20))
        moment = time.monotonic() + 0.05
        while time.monotonic() < moment:
            pass
        work.send_with_options(args=(4,), expires=60_000)
        work.send(5)
        worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=100)
        worker.start()
        try:
            broker.join("default", timeout=15_000)
        finally:
            worker.stop()

    await asyncio.to_thread(use)
    async with broker.connected():
        stats = await broker.store().stats("default")
    await asyncio.to_thread(broker.close)
    assert sorted(ran) == [4, 5]
    assert (stats.counters["expired"], stats.dead) == (3, 0)
