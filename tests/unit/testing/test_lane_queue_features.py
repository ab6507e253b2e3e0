"""Every feature of the queue, once, in the test kit."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import dramatiq
import pytest

import octoqueue
from octoqueue.errors import ActorFailed, DuplicateMessage
from octoqueue.settings.root import Settings
from octoqueue.testing import FakeClock, LaneQueue, in_memory
from tests.running import broker_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from octoqueue.broker.lane_broker import LaneBroker

SECOND = timedelta(seconds=1)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def broker() -> LaneBroker:
    return broker_on()


@pytest.fixture
def kit(broker: LaneBroker) -> Iterator[LaneQueue]:
    with in_memory(broker, clock=FakeClock(int(NOON.timestamp() * 1000))) as kit:
        yield kit


def test_unique_keys_hold_until_their_message_is_done(broker: LaneBroker, kit: LaneQueue) -> None:
    ran: list[int] = []

    @octoqueue.actor(broker=broker, unique=octoqueue.Unique())
    async def work(number: int) -> None:
        ran.append(number)

    first, again = work.send(1), work.send(1)
    assert (first.duplicate, again.duplicate) == (False, True)
    kit.require_enqueued(work, count=1)
    kit.drain()
    work.send(1)
    kit.drain()
    assert ran == [1, 1]


def test_a_window_of_a_unique_key_passes_with_the_clock(broker: LaneBroker, kit: LaneQueue) -> None:
    unique = octoqueue.Unique(until=SECOND, on_duplicate="error")

    @octoqueue.actor(broker=broker, unique=unique)
    async def work() -> None: ...

    work.send()
    kit.drain()
    with pytest.raises(DuplicateMessage):
        work.send()
    kit.advance(SECOND)
    work.send()
    assert len(kit.drain().acked) == 1


def test_a_rate_limit_lets_on_as_the_clock_moves(broker: LaneBroker, kit: LaneQueue) -> None:
    limit = octoqueue.RateLimit("api", rate=2, per=SECOND)

    @octoqueue.actor(broker=broker, limits=[limit.uses()])
    async def call(_number: int) -> None: ...

    for number in range(5):
        call.send(number)
    ran = [len(kit.drain().acked)]
    for _ in range(3):
        kit.advance(SECOND)
        ran.append(len(kit.drain().acked))
    assert ran == [2, 2, 1, 0]


def test_tenants_take_turns_and_are_found_by_name(broker: LaneBroker, kit: LaneQueue) -> None:
    order: list[str] = []

    @octoqueue.actor(broker=broker)
    async def work(tenant: str) -> None:
        order.append(tenant)

    for tenant in ("acme", "acme", "acme", "zeta"):
        work.using(tenant=tenant).send(tenant)
    kit.require_enqueued(work, tenant="acme", count=3)
    kit.drain()
    assert order[:2] == ["acme", "zeta"]
    assert Counter(order) == {"acme": 3, "zeta": 1}


async def test_a_cap_on_an_actor_holds_within_a_drain(broker: LaneBroker, kit: LaneQueue) -> None:
    running, most = 0, 0

    @octoqueue.actor(broker=broker, concurrency=2)
    async def work(_number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await kit.store.stats("default")
        running -= 1

    for number in range(8):
        await work.asend(number)
    assert len((await kit.adrain(concurrency=8)).acked) == 8
    assert most <= 2


async def test_a_cancelled_message_does_not_run(broker: LaneBroker, kit: LaneQueue) -> None:
    ran: list[int] = []

    @octoqueue.actor(broker=broker, results=True)
    async def work(number: int) -> None:
        ran.append(number)

    handles = [await work.asend(number) for number in range(2)]
    await handles[0].acancel("not needed")
    await kit.adrain()
    assert ran == [1]
    with pytest.raises(ActorFailed, match="not needed"):
        await handles[0].result(timeout=timedelta(0))


async def test_a_running_message_can_be_cancelled(broker: LaneBroker, kit: LaneQueue) -> None:
    handles: list[octoqueue.MessageHandle[None]] = []

    @octoqueue.actor(broker=broker)
    async def endless() -> None:
        await asyncio.Event().wait()

    @octoqueue.actor(broker=broker, lane="low")
    async def stop() -> None:
        await handles[0].acancel("enough")

    handles.append(await endless.asend())
    await stop.asend()
    report = await kit.adrain(concurrency=2)
    assert [one.actor for one in report.cancelled] == ["endless"]


def test_a_paused_queue_waits(broker: LaneBroker, kit: LaneQueue) -> None:
    @octoqueue.actor(broker=broker, queue="mail")
    async def work() -> None: ...

    work.send()
    broker.pause("mail")
    assert kit.drain().ran == ()
    broker.resume("mail")
    assert len(kit.drain().acked) == 1


def test_batches_are_full_or_all_there_is(broker: LaneBroker, kit: LaneQueue) -> None:
    calls: list[list[int]] = []

    @octoqueue.actor(broker=broker, batch=octoqueue.Batch(max_size=3, max_wait=timedelta(hours=1)))
    async def work(numbers: list[int]) -> None:
        calls.append(numbers)

    for number in range(4):
        work.send(number)
    kit.require_enqueued(work, args=(2,), count=1)
    assert len(kit.drain().acked) == 4
    assert calls == [[0, 1, 2], [3]]


@pytest.mark.parametrize(("missed", "count"), [("coalesce", 1), ("catch_up", 3)])
def test_periodic_actors_run_as_the_clock_comes_by(
    broker: LaneBroker, kit: LaneQueue, missed: Literal["coalesce", "catch_up"], count: int
) -> None:
    ticks: list[datetime] = []

    @octoqueue.periodic(cron="0 * * * *", missed=missed)
    @octoqueue.actor(broker=broker)
    async def hourly() -> None:
        message = octoqueue.current_message()
        assert message is not None
        assert message.scheduled_for is not None
        ticks.append(message.scheduled_for)

    assert kit.drain().ran == ()
    kit.advance(timedelta(minutes=59))
    assert kit.drain().ran == ()
    kit.advance(timedelta(minutes=1))
    assert len(kit.drain().acked) == 1
    assert ticks == [NOON + timedelta(hours=1)]
    kit.advance(timedelta(hours=3))
    assert len(kit.drain().acked) == count
    assert ticks[-1] == NOON + timedelta(hours=4)


def test_a_schedule_begins_with_the_test_not_with_its_first_drain(
    broker: LaneBroker, kit: LaneQueue
) -> None:
    @octoqueue.periodic(every=timedelta(minutes=10))
    @octoqueue.actor(broker=broker)
    async def often() -> None: ...

    kit.advance(timedelta(minutes=10))
    assert kit.drain(queues=["mail"]).ran == ()
    assert len(kit.drain().acked) == 1


async def test_events_can_be_followed(broker: LaneBroker, kit: LaneQueue) -> None:
    @octoqueue.actor(broker=broker, events=True)
    async def stream() -> None:
        message = octoqueue.current_message()
        assert message is not None
        message.emit({"token": "a"})
        message.progress(0.5, "half")

    handle = await stream.asend()
    await kit.adrain()
    kinds = [event.kind async for event in handle.events()]
    assert kinds == ["started", "emitted", "progress", "ended"]


def test_expired_messages_do_not_run(broker: LaneBroker, kit: LaneQueue) -> None:
    @octoqueue.actor(broker=broker)
    async def work() -> None:
        raise AssertionError

    work.using(expires=SECOND).send()
    kit.advance(SECOND)
    assert [one.actor for one in kit.drain().expired] == ["work"]
    work.using(expires=SECOND).send()
    with pytest.raises(AssertionError):
        kit.drain()


def test_dead_letters_can_be_looked_at(broker: LaneBroker, kit: LaneQueue) -> None:
    @octoqueue.actor(broker=broker, max_retries=0)
    async def fail() -> None:
        raise ValueError

    fail.send()
    kit.drain(raising=False)
    broker.join("default")
    with pytest.raises(ActorFailed, match="ValueError"):
        broker.join("default", fail_fast=True)


def test_plain_actors_groups_and_pipelines_of_dramatiq_work(
    broker: LaneBroker, kit: LaneQueue
) -> None:
    ran: list[int] = []

    @dramatiq.actor(broker=broker)
    def add(a: int, b: int) -> int:
        ran.append(a + b)
        return a + b

    any_add: Any = add
    make: Any = dramatiq.pipeline
    make([any_add.message(1, 2), any_add.message(10)], broker=broker).run()
    kit.require_enqueued(add, kwargs={"a": 1, "b": 2})
    kit.drain()
    assert ran == [3, 13]


def test_what_the_configuration_defines_holds_too(
    broker: LaneBroker, kit: LaneQueue, tmp_path: Path
) -> None:
    file = tmp_path / "octoqueue.yaml"
    file.write_text("limits: {api: {rate: 3, per: 1s}}")
    limit = octoqueue.RateLimit("api", rate=100, per=SECOND)

    @octoqueue.actor(broker=broker, limits=[limit.uses()])
    async def call(_number: int) -> None: ...

    broker.configure(Settings.load(file))
    for number in range(5):
        call.send(number)
    assert len(kit.drain().acked) == 3
