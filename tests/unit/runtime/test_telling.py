"""What actors tell while they run, and who follows."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import octoqueue
from octoqueue.broker.options import Defaults
from octoqueue.errors import (
    EventsNotKept,
    EventTimeout,
    EventTooLarge,
    InvalidMessage,
    PayloadNotSerializable,
    StoreUnavailable,
)
from octoqueue.primitives.events import Keeping
from octoqueue.primitives.retry import RetryPolicy
from tests.running import MOMENT, SHORTLY, WatchedStore, broker_on, memory_store, running

if TYPE_CHECKING:
    from octoqueue import MessageContext, MessageHandle
    from octoqueue.primitives.events import Event


def here() -> MessageContext:
    message = octoqueue.current_message()
    assert message is not None
    return message


async def told(handle: MessageHandle[Any], since: str | None = None) -> list[Event]:
    return [event async for event in handle.events(timeout=SHORTLY, since=since)]


async def test_what_an_async_actor_tells_comes_in_order_and_ends_with_its_outcome() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, events=True)
    async def stream(count: int) -> None:
        message = here()
        for number in range(count):
            message.emit(number)
            if number % 7 == 0:
                await asyncio.sleep(0)
        await message.aprogress(1.0, "done")

    async with broker.connected(), running(broker):
        handle = await stream.asend(100)
        events = await told(handle)
    assert events[0].kind == "started"
    assert events[0].data == {"deliveries": 0}
    assert [event.data for event in events[1:-2]] == list(range(100))
    assert (events[-2].fraction, events[-2].note) == (1.0, "done")
    assert events[-1].outcome == "succeeded"
    assert {event.attempt for event in events} == {0}


async def test_a_plain_function_tells_from_its_thread() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, events=True)
    def stream() -> None:
        for number in range(50):
            here().emit(number)

    async with broker.connected(), running(broker):
        events = await told(await stream.asend())
    assert [event.data for event in events[1:-1]] == list(range(50))


async def test_a_failed_attempt_says_so_and_the_next_begins_anew() -> None:
    broker = broker_on(defaults=Defaults(retry=RetryPolicy(max_retries=1, min_backoff=MOMENT)))

    @octoqueue.actor(broker=broker, events=True)
    async def fails() -> None:
        here().emit("a")
        raise octoqueue.Retry(delay=timedelta(0))

    async with broker.connected(), running(broker):
        events = await told(await fails.asend())
    kinds = [event.kind.value for event in events]
    assert kinds == ["started", "emitted", "retry", "started", "emitted", "ended"]
    assert [event.attempt for event in events] == [0, 0, 0, 1, 1, 1]
    assert events[2].data["attempt"] == 1
    assert (events[-1].outcome, events[-1].data["error"]) == ("dead", "Retry")


async def test_who_knows_the_last_event_goes_on_after_it() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, events=True)
    async def stream() -> None:
        for number in range(5):
            here().emit(number)

    async with broker.connected(), running(broker):
        handle = await stream.asend()
        events = await told(handle)
        rest = await told(handle, since=events[3].id)
        by_id = [event async for event in broker.events(handle.message_id, since=events[3].id)]
    assert rest == by_id == events[4:]


async def test_a_turn_of_the_loop_is_one_call_whoever_tells_in_it() -> None:
    store = WatchedStore()
    broker = broker_on(store)
    ready = asyncio.Barrier(10)

    @octoqueue.actor(broker=broker, events=True)
    async def stream() -> None:
        await ready.wait()
        for number in range(100):
            here().emit(number)

    async with broker.connected(), running(broker):
        handles = await octoqueue.asend_many([stream.message() for _ in range(10)], broker=broker)
        for handle in handles:
            assert len(await told(handle)) == 102
    assert len(store.called("emit")) <= 3


async def test_an_outage_delays_events_and_loses_or_doubles_none() -> None:
    store = WatchedStore()
    broker = broker_on(store)
    gone = StoreUnavailable("Redis", reason="gone")
    store.fail("emit", gone, gone, lost_answer=True)

    @octoqueue.actor(broker=broker, events=True)
    async def stream() -> None:
        for number in range(20):
            await here().aemit(number)

    async with broker.connected(), running(broker):
        events = await told(await stream.asend())
    assert [event.data for event in events[1:-1]] == list(range(20))


async def test_what_could_not_be_stored_before_the_end_is_committed_with_it() -> None:
    store = WatchedStore()
    broker = broker_on(store)
    store.fail("emit", *[StoreUnavailable("Redis", reason="gone")] * 1_000)

    @octoqueue.actor(broker=broker, events=True)
    async def stream() -> None:
        for number in range(20):
            here().emit(number)

    async with broker.connected(), running(broker):
        events = await told(await stream.asend())
    assert [event.data for event in events[1:-1]] == list(range(20))


async def test_what_cannot_be_an_event_is_refused_where_it_is_told() -> None:
    broker = broker_on(defaults=Defaults(max_event_bytes=200))
    errors: list[type[Exception]] = []

    @octoqueue.actor(broker=broker, events=True)
    async def stream() -> None:
        for odd in (object(), "x" * 200):
            try:
                here().emit(odd)
            except (PayloadNotSerializable, EventTooLarge) as error:
                errors.append(type(error))
        try:
            here().progress(1.5)
        except InvalidMessage as error:
            errors.append(type(error))

    async with broker.connected(), running(broker):
        events = await told(await stream.asend())
    assert errors == [PayloadNotSerializable, EventTooLarge, InvalidMessage]
    assert [event.kind.value for event in events] == ["started", "ended"]


async def test_an_actor_without_the_option_tells_nothing_and_nobody_can_follow() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, results=True)
    async def silent() -> str:
        try:
            here().emit(1)
        except EventsNotKept as error:
            return str(error)
        return ""

    async with broker.connected(), running(broker):
        handle = await silent.asend()
        assert "declare it with events=True" in await handle.result(timeout=SHORTLY)
        with pytest.raises(EventsNotKept, match="declare it with events=True"):
            handle.events()
        with pytest.raises(EventsNotKept, match="was built here but not sent"):
            silent.message().events()
        with pytest.raises(InvalidMessage, match="since"):
            broker.events(handle.message_id, since="yesterday")
        with pytest.raises(InvalidMessage, match="message_id"):
            broker.events("mine")


async def test_a_follower_that_hears_nothing_is_told_so() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, events=True)
    async def nobody() -> None: ...

    async with broker.connected():
        handle = await nobody.asend()
        with pytest.raises(EventTimeout, match="is a worker running"):
            await anext(handle.events(timeout=MOMENT))


async def test_what_is_told_after_the_end_is_refused() -> None:
    broker = broker_on()
    late: list[BaseException | None] = []
    tasks: list[asyncio.Task[None]] = []

    async def linger(message: MessageContext, ended: asyncio.Event) -> None:
        await ended.wait()
        try:
            message.emit("late")
        except EventsNotKept as error:
            late.append(error)

    ended = asyncio.Event()

    @octoqueue.actor(broker=broker, events=True)
    async def leaves_a_task() -> None:
        tasks.append(asyncio.create_task(linger(here(), ended)))

    async with broker.connected(), running(broker):
        events = await told(await leaves_a_task.asend())
        ended.set()
        await tasks[0]
    assert [event.kind.value for event in events] == ["started", "ended"]
    assert len(late) == 1


async def test_each_message_of_a_batch_tells_for_itself() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, events=True, batch=octoqueue.Batch(max_size=3))
    async def together(words: list[str]) -> None:
        for word, message in zip(words, octoqueue.current_batch(), strict=True):
            message.emit(word)

    async with broker.connected(), running(broker):
        messages = [together.message(word) for word in "abc"]
        handles = await octoqueue.asend_many(messages, broker=broker)
        for word, handle in zip("abc", handles, strict=True):
            assert [event.data for event in await told(handle)][1:-1] == [word]


async def test_a_message_that_is_cancelled_says_so_whether_it_waits_or_runs() -> None:
    broker = broker_on()
    begun = asyncio.Event()

    @octoqueue.actor(broker=broker, events=True)
    async def long() -> None:
        here().emit("begun")
        begun.set()
        await asyncio.Event().wait()

    async with broker.connected():
        waiting = await long.asend()
        await waiting.acancel("not needed")
        assert [event.outcome for event in await told(waiting)] == ["cancelled"]
        async with running(broker):
            handle = await long.asend()
            await begun.wait()
            await handle.acancel("enough")
            events = await told(handle)
    assert [event.kind.value for event in events] == ["started", "emitted", "ended"]
    assert events[-1].outcome == "cancelled"


async def test_a_message_that_was_not_started_in_time_says_so() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, events=True, expires=MOMENT)
    async def late() -> None: ...

    async with broker.connected():
        handle = await late.asend()
        await asyncio.to_thread(time.sleep, 0.005)
        async with running(broker):
            assert [event.outcome for event in await told(handle)] == ["expired"]


async def test_a_duplicate_follows_the_message_that_is_there() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, events=True, unique=octoqueue.Unique(until="done"))
    async def once() -> None:
        here().emit("only")

    async with broker.connected():
        first, second = await once.asend(), await once.asend()
        assert (first.duplicate, second.duplicate) == (False, True)
        async with running(broker):
            assert await told(second) == await told(first)


async def test_a_snoozed_message_says_so_and_goes_on() -> None:
    broker = broker_on()
    snoozed = list[bool]()

    @octoqueue.actor(broker=broker, events=True)
    async def patient() -> None:
        if not snoozed:
            snoozed.append(True)
            raise octoqueue.Snooze(timedelta(0))

    async with broker.connected(), running(broker):
        events = await told(await patient.asend())
    assert [event.kind.value for event in events] == ["started", "snoozed", "started", "ended"]
    assert {event.attempt for event in events} == {0}


async def test_events_of_a_stopped_worker_are_kept_and_the_next_begins_anew() -> None:
    broker = broker_on()
    begun = asyncio.Event()

    @octoqueue.actor(broker=broker, events=True)
    async def long() -> None:
        here().emit("told at the last moment")
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()

    async with broker.connected():
        handle = await long.asend()
        async with running(broker, drain=timedelta(0)):
            await begun.wait()
        async with running(broker):
            events = await told(handle)
    words = [event.kind.value for event in events]
    assert words == ["started", "emitted", "started", "emitted", "ended"]


async def test_an_actor_that_tells_faster_than_can_be_stored_loses_the_oldest_and_says_so() -> None:
    store = WatchedStore(memory_store(events=Keeping(bound=10)))
    broker = broker_on(store)
    store.fail("emit", *[StoreUnavailable("Redis", reason="gone")] * 1_000)

    @octoqueue.actor(broker=broker, events=True)
    async def stream() -> None:
        for number in range(25):
            here().emit(number)
            await asyncio.sleep(0)

    async with broker.connected(), running(broker):
        events = await told(await stream.asend())
    assert (events[0].kind, events[0].missed) == ("gap", 18)
    assert [event.data for event in events[1:-1]] == list(range(17, 25))
    assert events[-1].outcome == "succeeded"


async def test_what_is_lost_while_a_call_travels_is_told_as_a_gap_too() -> None:
    store = WatchedStore(memory_store(events=Keeping(bound=10)))
    broker, travelling, flooded = broker_on(store), asyncio.Event(), asyncio.Event()

    async def hold_up() -> None:
        travelling.set()
        await flooded.wait()

    store.before["emit"] = hold_up

    @octoqueue.actor(broker=broker, events=True)
    async def stream() -> None:
        await travelling.wait()
        for number in range(25):
            here().emit(number)
        flooded.set()
        await here().aemit(25)

    async with broker.connected(), running(broker):
        handle = await stream.asend()
        await flooded.wait()
        events = await told(handle, since=None)
    assert events[0].kind == "started"
    assert (events[1].kind, events[1].missed) == ("gap", 18)
    assert [event.data for event in events[2:-1]] == list(range(18, 26))
