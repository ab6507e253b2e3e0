# ruff: noqa: ANN401 - what dramatiq passes has no narrower type
"""dramatiq's own worker on our broker: it runs, retries, buries, keeps results and stops."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dramatiq
import orjson
import pytest
from dramatiq import Worker
from dramatiq.errors import QueueJoinTimeout
from dramatiq.middleware import CurrentMessage
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.errors import ActorFailed
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.envelope import Header, pack_header
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue, SessionId
from tests.running import SHORTLY

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from octoqueue.primitives.messages import DeadLetter, QueueStats

PATIENCE_MS = 15_000


@pytest.fixture
def broker(redis_url: str) -> Iterator[LaneBroker]:
    options = LaneOptions(namespace=f"t{uuid4().hex[:8]}", lease=timedelta(seconds=2))
    broker = LaneBroker(redis_url, options=options)
    yield broker
    broker.close()


@contextmanager
def working(broker: LaneBroker, **options: Any) -> Generator[Worker]:
    """dramatiq's worker for the length of the block."""
    broker.emit_after("process_boot")
    options.setdefault("worker_threads", 4)
    worker = Worker(broker, worker_timeout=50, **options)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def stats(broker: LaneBroker, queue: str = "default") -> QueueStats:
    async def ask() -> QueueStats:
        async with broker.connected():
            return await broker.store().stats(queue)

    return asyncio.run(ask())


def letters(broker: LaneBroker, queue: str = "default") -> list[DeadLetter]:
    async def ask() -> list[DeadLetter]:
        async with broker.connected():
            return await broker.store().dead_letters(queue)

    return asyncio.run(ask())


def wait(handle: octoqueue.MessageHandle[Any], broker: LaneBroker) -> Any:
    async def ask() -> Any:
        async with broker.connected():
            return await handle.result(timeout=SHORTLY)

    return asyncio.run(ask())


def test_messages_run_and_are_acknowledged_and_none_is_lost_among_threads(
    broker: LaneBroker,
) -> None:
    ran, lock = list[int](), threading.Lock()

    @dramatiq.actor(broker=broker)
    def note(number: int) -> None:
        with lock:
            ran.append(number)

    for number in range(300):
        note.send(number)
    with working(broker, worker_threads=8):
        broker.join("default", timeout=PATIENCE_MS)
    assert sorted(ran) == list(range(300))
    found = stats(broker)
    assert (found.counters["acked"], found.in_flight) == (300, 0)


def test_async_actors_of_both_kinds_run_too(broker: LaneBroker) -> None:
    ran: list[str] = []

    @dramatiq.actor(broker=broker)
    async def stock(number: int) -> None:
        await asyncio.sleep(0)
        ran.append(f"stock {number}")

    @octoqueue.actor(broker=broker)
    async def ours(number: int) -> None:
        await asyncio.sleep(0)
        ran.append(f"ours {number}")

    stock.send(1)
    ours.send(2)
    with working(broker):
        broker.join("default", timeout=PATIENCE_MS)
    assert sorted(ran) == ["ours 2", "stock 1"]


def test_a_failed_message_is_retried_with_its_ack_and_then_dead(broker: LaneBroker) -> None:
    tries: list[int] = []

    @dramatiq.actor(broker=broker, max_retries=2, min_backoff=1, max_backoff=5)
    def fail() -> None:
        message: Any = CurrentMessage.get_current_message()
        tries.append(message.options.get("retries", 0))
        raise ValueError("no")

    fail.send()
    with working(broker):
        broker.join("default", timeout=PATIENCE_MS)
    assert tries == [0, 1, 2]
    (letter,) = letters(broker)
    reason = orjson.loads(letter.reason)
    assert reason == {"error": "ValueError", "message": "no", "actor": "fail"}
    attempts = broker.history(text_from_id(letter.message_id))
    assert [(one.attempt, one.error, one.message) for one in attempts] == [
        (0, "ValueError", "no"),
        (1, "ValueError", "no"),
    ]
    found = stats(broker)
    assert (found.counters["dead"], found.counters["acked"], found.in_flight) == (1, 2, 0)


def test_a_retry_is_taken_although_the_lane_is_full(redis_url: str) -> None:
    options = LaneOptions(
        namespace=f"t{uuid4().hex[:8]}",
        default_bounds=LaneBounds(high=1, normal=1, low=1),
        delayed_bound=1,
    )
    broker = LaneBroker(redis_url, options=options)
    tries: list[int] = []

    @dramatiq.actor(broker=broker, max_retries=3)
    def again() -> None:
        tries.append(1)
        if len(tries) == 1:
            waiting.send()
            delayed.send_with_options(delay=20)
            raise dramatiq.Retry(delay=0)

    @dramatiq.actor(broker=broker)
    def waiting() -> None: ...

    @dramatiq.actor(broker=broker)
    def delayed() -> None: ...

    again.send()
    with working(broker, worker_threads=1):
        broker.join("default", timeout=PATIENCE_MS)
    broker.close()
    assert len(tries) == 2


def test_delayed_messages_wait_in_redis_and_run_when_they_are_due(broker: LaneBroker) -> None:
    ran: list[float] = []

    @dramatiq.actor(broker=broker)
    def note() -> None:
        ran.append(time.monotonic())

    sent_at = time.monotonic()
    note.send_with_options(delay=300)
    with working(broker):
        broker.join("default", timeout=PATIENCE_MS)
    assert ran[0] - sent_at >= 0.3


def test_results_errors_and_dead_letter_actors_of_ours_work_in_dramatiqs_worker(
    broker: LaneBroker,
) -> None:
    told: list[dict[str, Any]] = []

    @octoqueue.actor(broker=broker)
    def bury(**facts: Any) -> None:
        told.append(facts)

    @octoqueue.actor(broker=broker, results=True)
    async def double(number: int) -> int:
        return number * 2

    @octoqueue.actor(broker=broker, results=True)
    def odd() -> object:
        return object()

    @octoqueue.actor(broker=broker, results=True, max_retries=0, on_dead_letter="bury")
    def fail() -> None:
        raise LookupError("nothing there")

    with working(broker):
        assert wait(double.send(21), broker) == 42
        with pytest.raises(ActorFailed, match="nothing there"):
            wait(fail.send(), broker)
        with pytest.raises(ActorFailed, match="JSON"):
            wait(odd.send(), broker)
        broker.join("default", timeout=PATIENCE_MS)
    assert [facts["error"]["error"] for facts in told] == ["LookupError"]


def test_dramatiqs_results_pipelines_and_groups_work(broker: LaneBroker) -> None:
    backend = StubBackend()
    broker.add_middleware(Results(backend=backend))  # type: ignore[no-untyped-call] # dramatiq's

    @dramatiq.actor(broker=broker, store_results=True)
    def add(a: int, b: int) -> int:
        return a + b

    build: Any = add.message
    with working(broker):
        make_pipe: Any = dramatiq.pipeline
        pipe = make_pipe([build(1, 2), build(10)], broker=broker).run()
        assert pipe.get_result(block=True) == 13
        make_group: Any = dramatiq.group
        group = make_group([build(n, n) for n in range(3)], broker=broker).run()
        assert list(group.get_results(block=True)) == [0, 2, 4]


def test_lanes_are_claimed_in_order(broker: LaneBroker) -> None:
    ran: list[str] = []

    @octoqueue.actor(broker=broker)
    def note(lane: str) -> None:
        ran.append(lane)

    for lane in ("low", "normal", "high"):
        note.using(lane=lane).send(lane)
    with working(broker, worker_threads=1):
        broker.join("default", timeout=PATIENCE_MS)
    assert ran == ["high", "normal", "low"]
    assert stats(broker).depth == dict.fromkeys(Lane, 0)


def test_what_is_claimed_at_once_runs_in_the_order_it_was_sent(broker: LaneBroker) -> None:
    @dramatiq.actor(broker=broker)
    def note(_number: int) -> None: ...

    for number in range(20):
        note.send(number)
    consumer = broker.consume("default", prefetch=20, timeout=100)
    claimed = [next(consumer) for _ in range(20)]
    assert [message.args for message in claimed if message] == [(n,) for n in range(20)]
    consumer.requeue([message for message in claimed if message])


def test_undecodable_and_unknown_messages_are_buried_and_the_worker_goes_on(
    broker: LaneBroker, redis_url: str
) -> None:
    ran: list[int] = []

    @dramatiq.actor(broker=broker)
    def note() -> None:
        ran.append(1)

    other = LaneBroker(redis_url, options=broker._source._options)  # type: ignore[union-attr]

    @dramatiq.actor(broker=other)
    def elsewhere() -> None: ...

    elsewhere.send()
    other.close()
    spoil(broker)
    note.send()
    with working(broker):
        broker.join("default", timeout=PATIENCE_MS)
    assert ran == [1]
    reasons = sorted(orjson.loads(letter.reason)["error"] for letter in letters(broker))
    assert reasons == ["ActorNotFound", "EnvelopeError"]


def spoil(broker: LaneBroker) -> None:
    """Enqueue a message with a good header and no body."""
    payload = pack_header(Header(new_message_id(), Lane.NORMAL)) + b"{"

    async def send() -> None:
        async with broker.connected():
            message = Enqueue(queue="default", lane=Lane.NORMAL, payload=payload)
            await broker.store().enqueue([[message]])

    asyncio.run(send())


def test_a_stopping_worker_hands_back_what_it_has_not_begun(broker: LaneBroker) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @dramatiq.actor(broker=broker)
    def hold() -> None:
        begun.set()
        go_on.wait(10)

    for _ in range(6):
        hold.send()
    with working(broker, worker_threads=1):
        assert begun.wait(10)
        threading.Timer(0.2, go_on.set).start()
    broker.close()
    found = stats(broker)
    assert found.in_flight == 0
    assert found.waiting + found.counters["acked"] == 6
    assert found.waiting >= 4


def test_joining_a_queue_that_does_not_become_idle_says_so(broker: LaneBroker) -> None:
    @dramatiq.actor(broker=broker)
    def note() -> None: ...

    note.send()
    with pytest.raises(QueueJoinTimeout):
        broker.join("default", timeout=50)
    broker.flush_all()
    broker.join("default", timeout=50)


def test_the_session_outlives_a_message_longer_than_the_lease(broker: LaneBroker) -> None:
    ran: list[int] = []

    @dramatiq.actor(broker=broker)
    def long() -> None:
        ran.append(1)
        time.sleep(2.6)

    long.send()
    with working(broker):
        broker.join("default", timeout=PATIENCE_MS)
    assert ran == [1]
    assert stats(broker).counters.get("reclaimed", 0) == 0


def test_our_retry_and_discard_are_understood(broker: LaneBroker) -> None:
    tries: list[str] = []

    @octoqueue.actor(broker=broker)
    async def later() -> None:
        tries.append("later")
        if tries.count("later") == 1:
            raise octoqueue.Retry(delay=timedelta(milliseconds=5))

    @octoqueue.actor(broker=broker)
    def drop() -> None:
        tries.append("drop")
        raise octoqueue.Discard

    later.send()
    drop.send()
    with working(broker):
        broker.join("default", timeout=PATIENCE_MS)
    assert sorted(tries) == ["drop", "later", "later"]
    assert stats(broker).dead == 0


def test_a_claim_whose_answer_was_lost_is_adopted_by_the_next_consumer(
    broker: LaneBroker,
) -> None:
    ran: list[int] = []

    @dramatiq.actor(broker=broker)
    def note(number: int) -> None:
        ran.append(number)

    note.send(1)
    first = broker.consume("default", prefetch=10, timeout=10)

    async def claim_for_nobody() -> None:
        store = await broker._keeper.opened_store()
        assert await store.claim(broker._keeper.session, ["default"], limit=10)

    broker._portal.run(claim_for_nobody())
    message = next(first)
    assert message is not None
    assert next(first) is None
    first.requeue([message])
    with working(broker):
        broker.join("default", timeout=PATIENCE_MS)
    assert ran == [1]


def test_a_message_that_keeps_killing_its_workers_is_stopped(broker: LaneBroker) -> None:
    @dramatiq.actor(broker=broker)
    def kill() -> None:
        raise AssertionError("must not run any more")

    kill.send()

    async def lose(times: int) -> None:
        async with broker.connected():
            store: Any = broker.store()
            for number in range(times):
                session = SessionId(f"dead-{number}")
                assert await store.claim(session, ["default"], limit=1)
                await store._client.command("ZADD", store._keys.workers(0), 1, session)
                assert await store.reclaim() == 1

    asyncio.run(lose(5))
    with working(broker):
        broker.join("default", timeout=PATIENCE_MS)
    (letter,) = letters(broker)
    assert orjson.loads(letter.reason)["error"] == "PoisonMessage"


def test_a_batch_actor_gets_batches_of_one_in_dramatiqs_worker(broker: LaneBroker) -> None:
    calls: list[list[int]] = []

    @octoqueue.actor(broker=broker, batch=octoqueue.Batch(max_size=10), results=True)
    async def double(numbers: list[int]) -> list[int | ValueError]:
        calls.append(numbers)
        return [number * 2 if number < 3 else ValueError(number) for number in numbers]

    handles = [double.send(number) for number in (1, 2)]
    failing = double.message_with_options(args=(3,), max_retries=0)
    broker.enqueue(failing)
    with working(broker):
        broker.join("default", timeout=PATIENCE_MS)
        assert [wait(handle, broker) for handle in handles] == [2, 4]
    assert sorted(calls) == [[1], [2], [3]]
    assert [orjson.loads(letter.reason)["error"] for letter in letters(broker)] == ["ValueError"]
