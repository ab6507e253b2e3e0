"""What a worker says of itself, and when."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

import octoqueue
from octoqueue.primitives.messages import SessionId
from octoqueue.runtime.heartbeat import Heartbeat
from octoqueue.runtime.presence import AtRisk, WorkerPresence
from octoqueue.testing.fake_clock import FakeClock
from tests.running import WatchedStore, broker_on, memory_store, running, until

if TYPE_CHECKING:
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.signals import Presence

SESSION = SessionId("host-1-abc")
LONG = timedelta(seconds=400)
"""A lease so long that no beat but the first comes by itself."""


class Work:
    def __init__(self) -> None:
        self.running = 0
        self.at_risk = AtRisk()


def presence_of(work: Work, clock: FakeClock | None = None, *, name: str = "") -> WorkerPresence:
    return WorkerPresence(
        SESSION,
        queues=("coder",),
        slots=8,
        running=lambda: work.running,
        name=name,
        fleet="arms",
        at_risk=lambda: work.at_risk,
        clock=clock,
    )


def test_a_worker_says_since_when_it_is_there_what_it_runs_and_what_would_be_lost() -> None:
    clock, work = FakeClock(1_000), Work()
    presence = presence_of(work, clock, name="arm.2")
    clock.advance(500)
    presence.ready()
    clock.advance(500)
    presence.ready()
    work.running, work.at_risk = 3, AtRisk(seconds=12.5, cost=0.5, longest_seconds=8.5)
    said = presence.said()
    assert (said.session, said.name, said.fleet) == (SESSION, "arm.2", "arms")
    assert (said.queues, said.slots, said.running) == (("coder",), 8, 3)
    assert (said.started_at_ms, said.ready_at_ms) == (1_000, 1_500)
    assert (said.at_risk_seconds, said.at_risk_cost) == (12.5, 0.5)
    assert said.at_risk_longest_seconds == 8.5
    assert said.host
    assert said.pid > 0
    assert said.is_ready
    presence.draining()
    assert not presence.said().is_ready


def test_a_worker_without_a_name_has_that_of_its_session() -> None:
    assert presence_of(Work()).said().name == SESSION


async def told(store: WatchedStore) -> list[Presence]:
    reading = await store.lanes.read_signals(["coder"], due_within=timedelta(0))
    return list(reading.workers)


def beating(store: WatchedStore, presence: WorkerPresence) -> Heartbeat:
    async def open_store() -> LaneStore:
        return store.lanes

    return Heartbeat(open_store, SESSION, lease=LONG, on_expired=lambda: None, presence=presence)


async def test_nobody_is_told_of_a_worker_before_it_is_ready_and_then_soon() -> None:
    store, work = WatchedStore(memory_store(lease=LONG)), Work()
    presence = presence_of(work)
    heartbeat = beating(store, presence)
    await heartbeat.start()
    await until(lambda: len(store.called("extend")) == 1)
    assert await told(store) == []
    presence.ready()
    await until(lambda: len(store.called("extend")) == 2)
    (worker,) = await told(store)
    assert (worker.name, worker.running) == (SESSION, 0)
    await heartbeat.stop()


async def test_busy_and_draining_are_said_soon_and_numbers_alone_are_not() -> None:
    store, work = WatchedStore(memory_store(lease=LONG)), Work()
    presence = presence_of(work)
    presence.ready()
    heartbeat = beating(store, presence)
    await heartbeat.start()
    await until(lambda: len(store.called("extend")) == 1)
    work.running = 2
    await until(lambda: len(store.called("extend")) == 2)
    assert [worker.running for worker in await told(store)] == [2]
    work.running = 3  # as busy as before
    presence.draining()
    await until(lambda: len(store.called("extend")) == 3)
    (worker,) = await told(store)
    assert (worker.running, worker.is_draining) == (3, True)
    await heartbeat.stop()
    assert len(store.called("extend")) == 3


async def test_a_worker_that_cannot_say_what_it_does_keeps_its_leases(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> AtRisk:
        raise TypeError("no number")

    lease = timedelta(seconds=0.4)
    store, lost = WatchedStore(memory_store(lease=lease)), list[str]()
    presence = WorkerPresence(
        SESSION, queues=("coder",), slots=8, running=lambda: 0, at_risk=broken
    )
    presence.ready()

    async def open_store() -> LaneStore:
        return store.lanes

    heartbeat = Heartbeat(
        open_store, SESSION, lease=lease, on_expired=lambda: lost.append("it"), presence=presence
    )
    await heartbeat.start()
    await until(lambda: len(store.called("extend")) >= 3)
    await heartbeat.stop()
    assert not lost
    assert caplog.messages.count("presence_unsayable") == 1
    assert "heartbeat_failed" not in caplog.messages


async def test_a_worker_is_told_of_from_when_it_claims_until_it_has_stopped() -> None:
    store = memory_store()
    broker = broker_on(store)

    async def there() -> list[Presence]:
        reading = await store.read_signals([], due_within=timedelta(0), fleet="arms")
        return list(reading.workers)

    async with running(broker, "coder", name="arm.1", fleet="arms", concurrency=5):
        await until(there)
        (worker,) = await there()
        assert (worker.name, worker.queues, worker.slots) == ("arm.1", ("coder",), 5)
        assert worker.started_at_ms <= worker.ready_at_ms <= worker.said_at_ms
        assert worker.is_ready
    assert await there() == []


class Money(float):
    """A number like those of numpy: a float, and yet a type that JSON does not know."""

    def __radd__(self, other: float) -> Money:
        return Money(other + float(self))


@pytest.mark.parametrize("cost", [Money(0.5), Decimal("0.5"), Fraction(1, 2)])
async def test_what_was_spent_is_said_as_a_plain_number_whatever_kind_it_was(
    cost: Any,  # noqa: ANN401
) -> None:
    broker, go_on = broker_on(memory_store()), asyncio.Event()

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        octoqueue.spent(cost)
        octoqueue.spent(cost)
        await go_on.wait()

    async with broker.connected(), running(broker) as worker:
        await work.asend()
        await until(lambda: worker.at_risk().cost)
        told = worker.at_risk().cost
        go_on.set()
    assert (told, type(told)) == (1, float)
