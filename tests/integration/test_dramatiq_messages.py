"""Messages and tests written for dramatiq's own brokers, on ours."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dramatiq
import pytest
from dramatiq import Worker
from dramatiq.message import Message
from dramatiq.middleware import AgeLimit, Middleware

from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.errors import ActorFailed
from octoqueue.lanes.options import LaneOptions

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

PATIENCE_MS = 15_000


@pytest.fixture
def broker(redis_url: str) -> Iterator[LaneBroker]:
    options = LaneOptions(namespace=f"t{uuid4().hex[:8]}", lease=timedelta(seconds=2))
    broker = LaneBroker(redis_url, options=options)
    yield broker
    broker.close()


@contextmanager
def working(broker: LaneBroker) -> Generator[None]:
    broker.emit_after("process_boot")
    worker = Worker(broker, worker_timeout=50, worker_threads=2)
    worker.start()
    try:
        yield
    finally:
        worker.stop()


def written_by_dramatiq(*, queue: str = "default", **options: object) -> bytes:
    """Return a message for the actor `note` as dramatiq's default encoder leaves it in Redis."""
    fields = {
        "queue_name": queue,
        "actor_name": "note",
        "args": ["ä", 1.5],
        "kwargs": {"deep": {"list": [None, True]}},
        "options": {"redis_message_id": "7f0c", **options},
        "message_id": "3f1a2b7c-0000-4000-8000-000000000001",
        "message_timestamp": 1_700_000_000_000,
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def test_a_message_written_by_dramatiqs_encoder_runs_with_its_arguments_and_its_id(
    broker: LaneBroker,
) -> None:
    ran: list[Any] = []

    @dramatiq.actor(broker=broker)
    def note(*args: object, **kwargs: object) -> None:
        current: Any = dramatiq.middleware.CurrentMessage.get_current_message()
        ran.append((args, kwargs, current.message_id, current.message_timestamp))

    message = Message.decode(written_by_dramatiq())
    with working(broker):
        sent = broker.enqueue(message)
        broker.join("default", timeout=PATIENCE_MS)
    assert ran == [
        (("ä", 1.5), {"deep": {"list": [None, True]}}, message.message_id, 1_700_000_000_000)
    ]
    assert sent.message_id == message.message_id


def test_a_message_from_a_delay_queue_runs_in_its_queue_when_it_is_due(broker: LaneBroker) -> None:
    ran: list[float] = []

    @dramatiq.actor(broker=broker)
    def note(*_args: object, **_kwargs: object) -> None:
        ran.append(time.time())

    due = time.time() + 0.3
    with working(broker):
        broker.enqueue(Message.decode(written_by_dramatiq(queue="default.DQ", eta=due * 1000)))
        broker.join("default", timeout=PATIENCE_MS)
    assert len(ran) == 1
    assert ran[0] >= due - 0.01


@pytest.mark.parametrize("eta", ["soon", None, 1])
def test_a_time_that_is_none_or_over_delays_nothing(broker: LaneBroker, eta: object) -> None:
    ran: list[int] = []

    @dramatiq.actor(broker=broker)
    def note(*_args: object, **_kwargs: object) -> None:
        ran.append(1)

    with working(broker):
        broker.enqueue(Message.decode(written_by_dramatiq(eta=eta)))
        broker.join("default", timeout=PATIENCE_MS)
    assert ran == [1]


def test_what_was_sent_equals_and_reads_as_the_plain_message(broker: LaneBroker) -> None:
    @dramatiq.actor(broker=broker)
    def note(_number: int) -> None: ...

    sent = note.send(1)
    plain = Message.decode(sent.encode())
    assert sent == plain
    assert plain == sent
    assert repr(sent) == repr(plain)
    assert sent != note.send(1)
    assert sent != object()
    assert len({sent, sent}) == 1


def test_joining_fast_tells_what_the_newest_dead_letter_died_of(broker: LaneBroker) -> None:
    @dramatiq.actor(broker=broker, max_retries=0)
    def fail() -> None:
        raise LookupError("nothing there")

    sent = fail.send()
    with working(broker):
        broker.join("default", timeout=PATIENCE_MS)
        with pytest.raises(ActorFailed, match="nothing there") as caught:
            broker.join("default", timeout=PATIENCE_MS, interval=1, fail_fast=True)
    assert caught.value.error == "LookupError"
    assert sent.actor_name == "fail"
    broker.flush("default")
    broker.join("default", timeout=PATIENCE_MS, fail_fast=True)


def test_a_short_delay_is_not_rounded_up_to_the_next_look(broker: LaneBroker) -> None:
    ran: list[float] = []

    @dramatiq.actor(broker=broker, max_retries=10)
    def again() -> None:
        ran.append(time.monotonic())
        if len(ran) <= 10:
            raise dramatiq.Retry(delay=20)

    with working(broker):
        again.send()
        broker.join("default", timeout=PATIENCE_MS)
    waits = [later - earlier for earlier, later in pairwise(ran)]
    assert len(waits) == 10
    assert min(waits) >= 0.015
    assert sorted(waits)[5] < 0.1, "half of them wait for the upkeep instead of for their time"


def test_middleware_takes_the_places_it_has_in_dramatiqs_stack(broker: LaneBroker) -> None:
    class First(Middleware):
        """Does nothing."""

    class Second(Middleware):
        """Does nothing."""

    first, second = First(), Second()
    broker.add_middleware(first, before=AgeLimit)
    broker.add_middleware(second, after=AgeLimit)
    assert broker.middleware[0] is first
    assert broker.middleware[2] is second


def test_joining_waits_for_what_a_running_message_sends_delayed(broker: LaneBroker) -> None:
    ran: list[str] = []

    @dramatiq.actor(broker=broker)
    def first() -> None:
        second.send_with_options(delay=200)

    @dramatiq.actor(broker=broker)
    def second() -> None:
        ran.append("second")

    with working(broker):
        first.send()
        broker.join("default", timeout=PATIENCE_MS)
        assert ran == ["second"]


def test_a_delayed_message_outlives_the_worker_that_did_not_run_it(broker: LaneBroker) -> None:
    ran: list[int] = []

    @dramatiq.actor(broker=broker)
    def note() -> None:
        ran.append(1)

    note.send_with_options(delay=1_000)
    with working(broker):
        pass
    assert ran == []
    with working(broker):
        broker.join("default", timeout=PATIENCE_MS)
    assert ran == [1]


def test_what_only_pythons_json_can_write_reaches_the_actor(broker: LaneBroker) -> None:
    ran: list[str] = []

    @dramatiq.actor(broker=broker, max_retries=1, min_backoff=1, max_backoff=2)
    def note(*args: object, **_kwargs: object) -> None:
        ran.append(repr(args))
        if len(ran) == 1:
            raise ValueError

    with working(broker):
        note.send(float("nan"), float("-inf"), 2**70, {1: {None: "x"}}, "\ud800")
        broker.join("default", timeout=PATIENCE_MS)
    assert ran == ["(nan, -inf, 1180591620717411303424, {'1': {'null': 'x'}}, '\\ud800')"] * 2


def test_a_programs_own_encoder_carries_what_it_can_through_dramatiqs_worker(
    broker: LaneBroker,
) -> None:
    ran: list[object] = []

    @dramatiq.actor(broker=broker, max_retries=1, min_backoff=1, max_backoff=2)
    def first(delta: timedelta) -> timedelta:
        ran.append("first")
        if len(ran) == 1:
            raise ValueError
        return delta

    @dramatiq.actor(broker=broker)
    def second(delta: timedelta) -> None:
        ran.append(delta)

    before = dramatiq.get_encoder()
    dramatiq.set_encoder(dramatiq.PickleEncoder())
    try:
        with working(broker):
            any_arguments: Any = second
            chain = [first.message(timedelta(days=2)), any_arguments.message()]
            pipe: Any = dramatiq.pipeline(chain, broker=broker)
            pipe.run()
            broker.join("default", timeout=PATIENCE_MS)
    finally:
        dramatiq.set_encoder(before)
    assert ran == ["first", "first", timedelta(days=2)]
