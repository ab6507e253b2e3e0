# ruff: noqa: ANN401 - hooks take what dramatiq passes
"""The test kit, as the tests of a program use it."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dramatiq
import pytest
from dramatiq.middleware import Middleware, SkipMessage

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.errors import (
    ActorFailed,
    DeclarationError,
    DrainEndless,
    DrainTimeout,
    InvalidMessage,
    ResultTimeout,
    TimeLimitExceeded,
)
from octoqueue.testing import FakeClock, LaneQueue, in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

MINUTE = timedelta(minutes=1)


class Program:
    """A small program on a broker of its own; its store is memory for the length of a test."""

    def __init__(self) -> None:
        self.broker = LaneBroker("redis://nowhere.invalid:1")
        self.ran: list[Any] = []

        @octoqueue.actor(broker=self.broker, queue="mail", max_retries=2)
        async def welcome(user_id: int, *, greeting: str = "hello") -> None:
            self.ran.append(("welcome", user_id, greeting))
            await self.count.asend(user_id)

        @octoqueue.actor(broker=self.broker, queue="mail", results=True)
        def count(user_id: int) -> int:
            self.ran.append(("count", user_id))
            return user_id + 1

        @octoqueue.actor(broker=self.broker, max_retries=1, min_backoff=MINUTE)
        async def fail(reason: str) -> None:
            self.ran.append(("fail", reason))
            raise LookupError(reason)

        self.welcome, self.count, self.fail = welcome, count, fail


@pytest.fixture
def program() -> Program:
    return Program()


@pytest.fixture
def kit(program: Program) -> Iterator[LaneQueue]:
    with in_memory(program.broker) as kit:
        yield kit


# ── draining ─────────────────────────────────────────────────────────────────────────────────────


def test_a_drain_runs_what_waits_and_what_that_sends(program: Program, kit: LaneQueue) -> None:
    program.welcome.send(1)
    program.welcome.send(2, greeting="hi")
    assert program.ran == []
    report = kit.drain()
    assert program.ran == [
        ("welcome", 1, "hello"),
        ("welcome", 2, "hi"),
        ("count", 1),
        ("count", 2),
    ]
    assert [(one.actor, one.args) for one in report.acked] == [
        ("welcome", (1,)),
        ("welcome", (2,)),
        ("count", (1,)),
        ("count", (2,)),
    ]
    assert report.errors == []
    assert kit.drain().ran == ()


async def test_a_drain_runs_on_the_loop_of_an_async_test(program: Program, kit: LaneQueue) -> None:
    handle = await program.count.asend(41)
    report = await kit.adrain()
    assert await handle.result() == 42
    assert [str(one) for one in report.ran] == ["count(41)  ack"]
    assert str(await kit.adrain()) == "nothing ran"


async def test_blocking_verbs_are_refused_on_a_loop(program: Program, kit: LaneQueue) -> None:
    with pytest.raises(DeclarationError, match="await adrain"):
        kit.drain()
    handle = await program.count.asend(1)
    with pytest.raises(DeclarationError, match=r"await handle\.result"):
        kit.result(handle)


def test_results_are_there_after_a_drain(program: Program, kit: LaneQueue) -> None:
    handle = program.count.send(1)
    with pytest.raises(ResultTimeout):
        kit.result(handle)
    kit.drain()
    assert kit.result(handle) == 2


def test_lanes_are_strict_and_within_a_lane_order_is_kept(kit: LaneQueue, program: Program) -> None:
    for number, lane in enumerate(("low", "normal", "high", "high")):
        program.count.using(lane=lane).send(number)
    kit.drain()
    assert [number for _, number in program.ran] == [2, 3, 1, 0]


def test_only_the_queues_named_are_drained(program: Program, kit: LaneQueue) -> None:
    program.count.send(1)
    assert kit.drain(queues=["default"]).ran == ()
    assert len(kit.enqueued()) == 1


async def test_an_actor_may_wait_for_another(program: Program, kit: LaneQueue) -> None:
    found: list[int] = []

    @octoqueue.actor(broker=program.broker)
    async def ask() -> None:
        found.append(await (await program.count.asend(1)).result())

    await ask.asend()
    await kit.adrain(concurrency=2)
    assert found == [2]


async def test_a_drain_that_does_not_end_says_who_runs(program: Program, kit: LaneQueue) -> None:
    @octoqueue.actor(broker=program.broker)
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    await wait_for_ever.asend()
    with pytest.raises(DrainTimeout, match="wait_for_ever"):
        await kit.adrain(timeout=timedelta(milliseconds=30))
    assert [one.actor for one in kit.enqueued()] == ["wait_for_ever"]


def test_messages_that_breed_are_stopped(program: Program, kit: LaneQueue) -> None:
    @octoqueue.actor(broker=program.broker)
    async def breed() -> None:
        await breed.asend()

    breed.send()
    with pytest.raises(DrainEndless, match="breed"):
        kit.drain(limit=20)


def test_sync_actors_run_in_threads_and_so_do_those_that_send_from_there(
    program: Program, kit: LaneQueue
) -> None:
    threads: list[threading.Thread] = []

    @dramatiq.actor(broker=program.broker)
    def work() -> None:
        threads.append(threading.current_thread())
        program.count.send(5)

    work.send()
    kit.drain()
    assert program.ran == [("count", 5)]
    assert threads[0] is not threading.current_thread()


# ── failing ──────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_is_raised_in_the_test_and_the_rest_still_waits(
    program: Program, kit: LaneQueue
) -> None:
    program.fail.send("first")
    program.fail.send("second")
    with pytest.raises(LookupError, match="first"):
        kit.drain()
    assert program.ran == [("fail", "first")]
    assert [(one.args, one.due_in > timedelta(0)) for one in kit.enqueued()] == [
        (("second",), False),
        (("first",), True),
    ]


def test_failures_can_be_reported_instead_and_retries_wait_for_their_time(
    program: Program, kit: LaneQueue
) -> None:
    program.fail.send("each time")
    first = kit.drain(raising=False)
    (retried,) = first.retried
    assert isinstance(retried.error, LookupError)
    assert retried.attempt == 0
    assert retried.due_in >= MINUTE / 2
    assert kit.drain(raising=False).ran == ()
    kit.advance(timedelta(hours=1))
    (dead,) = kit.drain(raising=False).dead
    assert (dead.actor, dead.attempt, str(dead.error)) == ("fail", 1, "each time")
    assert kit.enqueued() == []


def test_what_died_without_running_is_raised_too(program: Program, kit: LaneQueue) -> None:
    unknown = dramatiq.Message[None](
        queue_name="mail", actor_name="nobody", args=(), kwargs={}, options={}
    )
    program.broker.enqueue(unknown)
    with pytest.raises(ActorFailed, match="ActorUnknown"):
        kit.drain()


async def test_a_time_limit_is_raised_as_such(program: Program, kit: LaneQueue) -> None:
    @octoqueue.actor(broker=program.broker, time_limit=timedelta(milliseconds=20))
    async def dawdle() -> None:
        await asyncio.Event().wait()

    await dawdle.asend()
    with pytest.raises(TimeLimitExceeded):
        await kit.adrain()


def test_wishes_are_no_failures(program: Program, kit: LaneQueue) -> None:
    wishes: list[Exception] = [
        octoqueue.Discard(),
        octoqueue.Retry(delay=MINUTE),
        octoqueue.Snooze(MINUTE),
    ]

    @octoqueue.actor(broker=program.broker)
    async def wish() -> None:
        raise wishes.pop(0)

    wish.send()
    assert kit.drain().acked[0].actor == "wish"
    wish.send()
    assert kit.drain().retried[0].due_in == MINUTE
    kit.reset()
    wish.send()
    assert kit.drain().snoozed[0].due_in == MINUTE


# ── middleware ───────────────────────────────────────────────────────────────────────────────────


def test_middleware_works_as_in_the_worker(program: Program, kit: LaneQueue) -> None:
    told: list[str] = []

    class Nosy(Middleware):
        def after_process_boot(self, broker: object) -> None:
            told.append("boot")

        def before_process_message(self, broker: object, message: Any) -> None:
            told.append(f"before {message.actor_name}")
            if message.args == (13,):
                raise SkipMessage

        def after_process_message(self, broker: object, message: Any, **_: Any) -> None:
            told.append(f"after {message.actor_name}")

    program.broker.add_middleware(Nosy())
    program.count.send(1)
    program.count.send(13)
    kit.drain()
    kit.drain()
    assert told == ["boot", "before count", "after count", "before count"]
    assert program.ran == [("count", 1)]


# ── time ─────────────────────────────────────────────────────────────────────────────────────────


def test_delayed_messages_run_when_the_clock_has_come_so_far(
    program: Program, kit: LaneQueue
) -> None:
    program.count.using(delay=timedelta(hours=1)).send(1)
    kit.advance(timedelta(minutes=59))
    assert kit.drain().ran == ()
    (waiting,) = kit.enqueued()
    assert waiting.due_in == MINUTE
    assert str(waiting) == "count(1)  due in 0:01:00"
    kit.advance(MINUTE)
    assert len(kit.drain().acked) == 1


def test_an_actor_sees_the_time_of_the_test(program: Program) -> None:
    clock = FakeClock(1_700_000_000_000)
    seen: list[datetime] = []

    @octoqueue.actor(broker=program.broker)
    async def look() -> None:
        message = octoqueue.current_message()
        assert message is not None
        seen.extend((message.enqueued_at, message.started_at))

    with in_memory(program.broker, clock=clock) as kit:
        look.send()
        began = kit.now
        kit.advance(MINUTE)
        kit.drain()
        assert began == datetime.fromtimestamp(1_700_000_000, tz=UTC)
        assert seen == [began, began + MINUTE]


def test_time_does_not_go_back(kit: LaneQueue) -> None:
    with pytest.raises(InvalidMessage, match="negative"):
        kit.advance(-MINUTE)


async def test_what_cannot_be_meant_is_refused_by_name(kit: LaneQueue) -> None:
    seconds: Any = 5
    with pytest.raises(InvalidMessage, match="by: 5 is no timedelta"):
        kit.advance(seconds)
    with pytest.raises(DeclarationError, match="queues: 'mail' is no list"):
        await kit.adrain(queues="mail")
    with pytest.raises(DeclarationError, match="concurrency: 0"):
        await kit.adrain(concurrency=0)


# ── what is enqueued ─────────────────────────────────────────────────────────────────────────────


def test_a_message_is_found_however_its_arguments_were_passed(
    program: Program, kit: LaneQueue
) -> None:
    program.welcome.send(7, greeting="hi")
    usual = {"lane": "normal", "queue": "mail", "tenant": "", "due_in": timedelta(0), "count": 1}
    all_described: list[dict[str, Any]] = [
        {},
        {"args": (7,)},
        {"kwargs": {"user_id": 7}},
        {"kwargs": {"greeting": "hi"}, "args": [7]},
        usual,
    ]
    for described in all_described:
        (found,) = kit.require_enqueued(program.welcome, **described)
        assert (found.args, found.kwargs) == ((7,), {"greeting": "hi"})


def test_values_are_compared_as_they_arrive(program: Program, kit: LaneQueue) -> None:
    @octoqueue.actor(broker=program.broker)
    async def note(moment: object, pair: object) -> None: ...

    moment = datetime(2026, 11, 21, tzinfo=UTC)
    note.send(moment, (1, 2))
    kit.require_enqueued(note, args=(moment, (1, 2)))


def test_what_is_missing_is_told_with_what_is_there_instead(
    program: Program, kit: LaneQueue
) -> None:
    program.welcome.using(lane="high").send(7, greeting="hi")
    program.count.send(1)
    program.count.send(2)
    with pytest.raises(AssertionError) as caught:
        kit.require_enqueued(program.welcome, kwargs={"user_id": 8, "greeting": "hi"}, lane="low")
    assert str(caught.value).splitlines() == [
        "at least 1 of welcome(user_id=8, greeting='hi'), lane low should be enqueued, 0 are",
        "other messages of welcome:",
        "  welcome(7, greeting='hi')  lane high",
        "      lane: wanted 'low', is 'high'",
        "      user_id: wanted 8, is 7",
        "of other actors: 2 of count",
    ]


def test_more_and_fewer_than_wanted_are_told(program: Program, kit: LaneQueue) -> None:
    with pytest.raises(AssertionError, match="nothing is enqueued"):
        kit.require_enqueued(program.count)
    kit.refute_enqueued(program.count)
    program.count.send(1)
    program.count.send(2)
    with pytest.raises(AssertionError, match=r"1 of .* should be enqueued, 2 are"):
        kit.require_enqueued(program.count, count=1)
    with pytest.raises(AssertionError, match=r"count\(2\)"):
        kit.refute_enqueued(program.count, args=(2,))
    kit.refute_enqueued(program.count, args=(3,))


def test_an_argument_the_actor_does_not_have_is_an_error_of_the_test(
    program: Program, kit: LaneQueue
) -> None:
    program.count.send(1)
    with pytest.raises(TypeError, match="user"):
        kit.require_enqueued(program.count, kwargs={"user": 1})


def test_resetting_drops_everything(program: Program, kit: LaneQueue) -> None:
    program.count.send(1)
    program.count.using(delay=MINUTE).send(1)
    kit.reset()
    assert kit.enqueued() == []
    program.count.send(2)
    assert len(kit.drain().ran) == 1


# ── the broker ───────────────────────────────────────────────────────────────────────────────────


def test_the_broker_has_its_own_store_back_afterwards(program: Program) -> None:
    with in_memory(program.broker):
        program.count.send(1)
    with in_memory(program.broker) as kit:
        assert kit.enqueued() == []
    before = program.broker._source
    with pytest.raises(ZeroDivisionError), in_memory(program.broker):
        raise ZeroDivisionError
    assert program.broker._source is before


async def test_plain_code_of_the_program_sees_the_same_store(
    program: Program, kit: LaneQueue
) -> None:
    await program.count.asend(1)
    await asyncio.to_thread(program.count.send, 2)
    async with program.broker.connected():
        assert (await program.broker.store().stats("mail")).waiting == 2
    assert (await kit.store.stats("mail")).waiting == 2


def test_many_threads_may_send_at_once(program: Program, kit: LaneQueue) -> None:
    threads = [
        threading.Thread(target=lambda: [program.count.send(n) for n in range(20)])
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kit.drain(concurrency=10).acked) == 100
