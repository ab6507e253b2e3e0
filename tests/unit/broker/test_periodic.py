from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import octoqueue
from octoqueue.errors import DeclarationError
from octoqueue.primitives.envelope import decode_body, extension_of, unpack_header
from octoqueue.primitives.messages import SessionId
from octoqueue.primitives.schedules import Fired, Missed
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.running import MOMENT, broker_on, running, until

MINUTE = timedelta(minutes=1)


def declared(**options: Any) -> Any:  # noqa: ANN401 - whatever one may write
    broker = broker_on()

    @octoqueue.periodic(**options)
    @octoqueue.actor(broker=broker, queue="reports")
    async def report(day: str = "today", *, full: bool = False) -> None: ...

    return broker.schedules.find(options.get("name") or "report")


def test_an_actor_keeps_its_type_and_may_be_sent_as_before() -> None:
    broker = broker_on()

    @octoqueue.periodic(cron="0 3 * * *", tz="Europe/Berlin")
    @octoqueue.actor(broker=broker)
    def nightly(count: int = 1) -> int:
        return count

    assert isinstance(nightly, octoqueue.Actor)
    assert nightly(2) == 2
    assert nightly.message(3).args == (3,)


def test_a_schedule_has_the_name_of_its_actor_or_one_of_its_own() -> None:
    broker = broker_on()

    @octoqueue.periodic(every=MINUTE, name="often", kwargs={"full": False})
    @octoqueue.periodic(cron="0 3 * * SUN", missed="catch_up", catch_up_limit=7)
    @octoqueue.actor(broker=broker, queue="reports")
    async def report(*, full: bool = True) -> None: ...

    often, report_ = list(broker.schedules)
    assert (often.schedule.name, report_.schedule.name) == ("often", "report")
    assert {often.actor, report_.actor} == {report.actor_name}
    assert often.queue == "reports"
    assert often.schedule.missed is Missed.COALESCE
    assert report_.schedule.missed is Missed.CATCH_UP
    assert report_.schedule.catch_up_limit == 7
    assert len(broker.schedules) == 2


def test_the_message_of_a_tick_is_what_was_declared() -> None:
    found = declared(
        every=MINUTE, args=["monday"], kwargs={"full": True}, lane="low", tenant="acme"
    )
    first, second = found.message(60_000), found.message(120_000)
    assert (first.args, first.kwargs, first.queue_name) == (("monday",), {"full": True}, "reports")
    assert first.options == {"lane": "low", "tenant": "acme", "scheduled_for": 60_000}
    assert second.options["scheduled_for"] == 120_000
    assert first.message_id != second.message_id
    assert first.message_id[-4:] == second.message_id[-4:]  # one partition


async def test_a_fired_tick_is_enqueued_with_all_that_its_actor_declares() -> None:
    clock = FakeClock()
    store = MemoryLaneStore(clock=clock)
    broker = broker_on(store)

    @octoqueue.periodic(every=MINUTE, tenant="acme")
    @octoqueue.actor(broker=broker, lane="high", results=True, concurrency=2)
    async def report() -> None: ...

    (periodic,) = broker.schedules
    begun = clock.now_ms()
    clock.advance(60_000)
    tick_ms = clock.now_ms()
    firing = await broker.schedules.fire(store, periodic, after_ms=begun, tick_ms=tick_ms)
    again = await broker.schedules.fire(store, periodic, after_ms=begun, tick_ms=tick_ms)
    assert (firing.outcome, again.outcome) == (Fired.FIRED, Fired.MOVED_ON)
    ((_, _, _, message),) = await store.claim(SessionId("worker"), ["default"], limit=9)
    header, extension = unpack_header(message), extension_of(message)
    assert header.lane is octoqueue.Lane.HIGH
    assert (extension.tenant, extension.caps) == ("acme", ("actor:report",))
    assert decode_body(message).options["scheduled_for"] == tick_ms


async def test_an_actor_knows_for_when_it_was_scheduled() -> None:
    store = MemoryLaneStore()
    broker = broker_on(store)
    seen: list[datetime | None] = []

    @octoqueue.periodic(every=MINUTE)
    @octoqueue.actor(broker=broker)
    async def report() -> None:
        message = octoqueue.current_message()
        assert message is not None
        seen.append(message.scheduled_for)

    (periodic,) = broker.schedules
    now = await store.now_ms()
    await broker.schedules.fire(store, periodic, after_ms=0, tick_ms=now - 1_500)
    async with running(broker):
        await report.asend()
        await until(lambda: len(seen) == 2)
    scheduled = datetime.fromtimestamp((now - 1_500) / 1000, tz=UTC)
    assert set(seen) == {scheduled, None}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "cron= or every="),
        ({"cron": "* * * * *", "every": MINUTE}, "cron= or every="),
        ({"cron": "61 * * * *"}, "cron: "),
        ({"cron": "0 0 30 2 *"}, "cron: "),
        ({"cron": "0 3 * * *", "tz": "Mars/Olympus"}, "tz: "),
        ({"every": MINUTE, "tz": "Europe/Berlin"}, "tz: "),
        ({"every": MOMENT}, "every: "),
        ({"every": 60}, "every: "),
        ({"every": MINUTE, "missed": "forget"}, "missed: .*coalesce, catch_up"),
        ({"every": MINUTE, "catch_up_limit": 0}, "catch_up_limit: "),
        ({"every": MINUTE, "catch_up_limit": True}, "catch_up_limit: "),
        ({"every": MINUTE, "lane": "urgent"}, "lane: "),
        ({"every": MINUTE, "tenant": "x" * 300}, "tenant: "),
        ({"every": MINUTE, "name": ""}, "name: "),
        ({"every": MINUTE, "name": "x" * 201}, "name: "),
        ({"every": MINUTE, "name": 5}, "name: "),
        ({"cron": 5}, "cron: "),
        ({"every": MINUTE, "args": "item"}, "args: "),
        ({"every": MINUTE, "kwargs": ["item"]}, "kwargs: "),
        ({"every": MINUTE, "args": [1, 2]}, "args, kwargs: "),
        ({"every": MINUTE, "kwargs": {"wrong": 1}}, "args, kwargs: "),
        ({"every": MINUTE, "args": [object()]}, "args, kwargs: "),
    ],
)
def test_an_impossible_schedule_is_refused_where_it_is_declared(
    options: dict[str, Any], named: str
) -> None:
    with pytest.raises(DeclarationError, match=named):
        declared(**options)


def test_a_name_is_taken_once() -> None:
    broker = broker_on()

    @octoqueue.periodic(every=MINUTE)
    @octoqueue.actor(broker=broker)
    async def report() -> None: ...

    with pytest.raises(DeclarationError, match=r"'report' .* already declared"):
        octoqueue.periodic(every=MINUTE)(report)


def test_it_goes_above_the_actor() -> None:
    async def function() -> None: ...

    decorate: Any = octoqueue.periodic(every=MINUTE)
    with pytest.raises(DeclarationError, match=r"goes above @octoqueue\.actor"):
        decorate(function)


def test_a_batch_actor_is_given_one_item_a_tick() -> None:
    broker = broker_on()

    @octoqueue.periodic(every=MINUTE, args=["item"])
    @octoqueue.actor(broker=broker, batch=octoqueue.Batch(max_size=2, max_wait=MINUTE))
    async def collect(items: list[str]) -> None: ...

    assert broker.schedules.find("collect") is not None
    with pytest.raises(DeclarationError, match="args, kwargs: "):
        octoqueue.periodic(every=MINUTE, name="nothing")(collect)
