"""Sending: what reaches the store, in how many calls, and what is refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dramatiq
import pytest

import octoqueue
from octoqueue.broker.coalescer import Coalescer
from octoqueue.broker.options import Defaults
from octoqueue.errors import (
    EnvelopeTooLarge,
    InvalidMessage,
    LaneFull,
    PayloadNotSerializable,
    ResultNotKept,
    StoreUnavailable,
)
from octoqueue.lanes.options import LaneBounds
from octoqueue.primitives.envelope import decode_body, unpack_header
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.lane import Lane
from tests.running import PATIENCE_SECONDS, WatchedStore, broker_on, gone, memory_store, until

if TYPE_CHECKING:
    from dramatiq import Broker, Message

    from octoqueue.broker.actors import AsyncActor
    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.primitives.messages import Enqueue

SECOND = timedelta(seconds=1)


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
def broker(store: WatchedStore) -> LaneBroker:
    return broker_on(store)


@pytest.fixture
def work(broker: LaneBroker) -> AsyncActor[[object], None]:
    @octoqueue.actor(broker=broker)
    async def work(payload: object) -> None: ...

    return work


def as_any(actor: object) -> Any:  # noqa: ANN401 - its parameters have no names for the checker
    return actor


def sent(store: WatchedStore) -> list[Enqueue]:
    """All messages given to the store, in order."""
    return [
        message for (groups,), _ in store.called("enqueue") for group in groups for message in group
    ]


# ── how many calls ───────────────────────────────────────────────────────────────────────────────


def held(store: WatchedStore) -> asyncio.Event:
    """Let no call of the store begin before the event is set."""
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    store.before["enqueue"] = wait
    return gate


def sizes(store: WatchedStore) -> list[int]:
    """How many messages each call had."""
    return [sum(map(len, groups)) for (groups,), _ in store.called("enqueue")]


async def test_a_hundred_sends_at_a_time_are_one_call_to_the_store_after_the_first(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    await broker.opened_store()
    gate = held(store)
    first, second = (
        asyncio.gather(*(work.asend(n) for n in range(100))),
        asyncio.gather(*(work.asend(n) for n in range(100))),
    )
    await until(lambda: len(store.called("enqueue")) == 2)
    gate.set()
    handles = [*await first, *await second]
    assert sizes(store) == [1, 199]
    assert len(sent(store)) == len({handle.message_id for handle in handles}) == 200
    await asyncio.gather(*(work.asend(n) for n in range(100)))
    assert sizes(store) == [1, 199, 100]


async def test_who_sends_alone_waits_for_nobody(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    await broker.opened_store()
    sending = work.asend(1)
    with pytest.raises(StopIteration):  # it never gave the loop a turn
        sending.send(None)
    assert sizes(store) == [1]


async def test_less_than_what_travels_waits_for_an_answer(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    await broker.opened_store()
    gate = held(store)
    first = asyncio.gather(*(work.asend(n) for n in range(11)))
    await until(lambda: sizes(store) == [1, 10])
    few = [asyncio.create_task(work.asend(n)) for n in range(3)]
    for _ in range(10):
        await turn()
    assert sizes(store) == [1, 10]
    gate.set()
    await asyncio.gather(first, *few)
    assert sizes(store) == [1, 10, 3]
    await asyncio.gather(work.asend(1))
    await work.asend(2)
    assert sizes(store) == [1, 10, 3, 1, 1]


async def turn() -> None:
    """Give whoever is ready a turn of the loop."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_soon(done.set_result, None)
    await done


async def test_a_cancelled_send_does_not_disturb_its_neighbours(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    await broker.opened_store()
    gate = held(store)
    tasks = [asyncio.create_task(work.asend(n)) for n in range(10)]
    await until(lambda: sizes(store) == [1, 9])
    tasks[3].cancel()
    gate.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in done].count(True) == 1
    assert (await store.stats("default")).waiting == 10


async def test_a_send_cancelled_while_it_waits_sends_nothing(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    await broker.opened_store()
    gate = held(store)
    tasks = [asyncio.create_task(work.asend(n)) for n in range(3)]
    asyncio.get_running_loop().call_soon(tasks[1].cancel)
    await until(lambda: sizes(store) == [1, 1])
    gate.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[1], asyncio.CancelledError)
    assert len(sent(store)) == 2


async def test_a_lone_send_that_is_cancelled_lets_the_next_one_go(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    await broker.opened_store()
    gate = held(store)
    alone = asyncio.create_task(work.asend(1))
    await until(lambda: sizes(store) == [1])
    alone.cancel()
    await asyncio.gather(alone, return_exceptions=True)
    gate.set()
    await work.asend(2)
    assert sizes(store) == [1, 1]
    await broker.aclose()


async def test_an_error_of_the_store_reaches_everybody_who_sent(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    await broker.opened_store()
    for error in (gone(), RuntimeError("surprise")):
        gate = asyncio.Event()

        async def fail(gate: asyncio.Event = gate, error: Exception = error) -> None:
            await gate.wait()
            raise error

        store.before["enqueue"] = fail
        store.calls.clear()
        sending = asyncio.gather(*(work.asend(n) for n in range(3)), return_exceptions=True)
        await until(lambda: sum(sizes(store)) == 3)
        gate.set()
        assert [type(one) for one in await sending] == [type(error)] * 3
    store.before.clear()
    await work.asend(1)


async def test_a_refused_group_does_not_refuse_the_others_of_its_call() -> None:
    store = WatchedStore(memory_store(bounds={"narrow": LaneBounds(high=1, normal=1, low=1)}))
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, queue="narrow")
    async def narrow() -> None: ...

    @octoqueue.actor(broker=broker, queue="wide")
    async def wide() -> None: ...

    await broker.opened_store()
    gate = held(store)
    sending = asyncio.gather(
        wide.asend(), narrow.asend(), narrow.asend(), wide.asend(), return_exceptions=True
    )
    await until(lambda: sizes(store) == [1, 3])
    gate.set()
    assert [isinstance(one, LaneFull) for one in await sending] == [False, False, True, False]


async def test_closing_waits_for_what_is_being_sent(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    await broker.opened_store()
    gate = held(store)
    tasks = [asyncio.create_task(work.asend(n)) for n in range(3)]
    await turn()
    closing = asyncio.create_task(broker.aclose())
    await until(lambda: sizes(store) == [1, 2])
    gate.set()
    await asyncio.gather(closing, *tasks)
    assert [verb for verb, *_ in store.calls] == ["enqueue", "enqueue", "aclose"]
    assert (await store.stats("default")).waiting == 3


async def test_closing_ends_when_the_end_of_the_program_cancels_what_has_not_begun_to_travel(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    await broker.opened_store()
    gate = held(store)
    first = asyncio.create_task(work.asend(1))
    await until(lambda: sizes(store) == [1])
    before = asyncio.all_tasks()
    second = asyncio.create_task(work.asend(2))
    while not (begun := asyncio.all_tasks() - before - {second}):
        await turn()
    for task in begun:
        task.cancel()
    assert sizes(store) == [1], "it would have travelled in the next turn"
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.set()
    await first
    async with asyncio.timeout(PATIENCE_SECONDS):
        await broker.aclose()


async def test_closing_that_is_cancelled_closes_the_store_all_the_same(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    await broker.opened_store()
    held(store)
    sending = asyncio.create_task(work.asend(1))
    await until(lambda: sizes(store) == [1])
    closing = asyncio.create_task(broker.aclose())
    await turn()
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    assert store.called("aclose")
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_very_many_groups_go_in_more_than_one_call() -> None:
    store = WatchedStore(memory_store(default_bounds=LaneBounds(normal=10_000)))
    coalescer = Coalescer(store.lanes)
    gate = held(store)
    one: Any = None
    sending = [
        asyncio.gather(
            *(coalescer.enqueue([one] * count) for count in counts), return_exceptions=True
        )
        for counts in ([1_500, 1_500], [1] * 2_500)
    ]
    await until(lambda: sizes(store) == [1_500, 2_000, 2_000])
    gate.set()
    await asyncio.gather(*sending)


async def test_a_group_redis_could_not_take_is_refused_as_such(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    message = work.message(1)
    with pytest.raises(InvalidMessage, match="50,000"):
        await octoqueue.asend_many([message] * 50_001, broker=broker)
    assert not sent(store)


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────


async def test_a_message_is_sent_as_its_actor_and_using_say(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    message_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    chosen = work.using(lane="high", delay=5 * SECOND, message_id=message_id, results=True)
    handle = await chosen.asend("x")
    plain = await as_any(work).asend(payload="y")
    first, second = sent(store)
    header, call = unpack_header(first.payload), decode_body(first.payload)
    assert (first.lane, first.delay_ms, header.lane) == (Lane.HIGH, 5_000, Lane.HIGH)
    assert (header.flags, call.args, call.kwargs) == (1, ["x"], {})
    assert handle.message_id == message_id == text_from_id(header.message_id)
    header, call = unpack_header(second.payload), decode_body(second.payload)
    assert (second.lane, second.delay_ms, header.flags) == (Lane.NORMAL, 0, 0)
    assert (call.args, call.kwargs, call.options) == ([], {"payload": "y"}, {})
    assert plain.message_id == text_from_id(header.message_id)


async def test_a_handle_is_the_plain_message_with_its_fields(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    built = as_any(work).message_with_options(args=[1], kwargs={"k": 2}, results=True)
    plain: Message[Any] = dramatiq.Message(
        queue_name="default",
        actor_name="work",
        args=(1,),
        kwargs={"k": 2},
        options={"results": True},
        message_id=built.message_id,
        message_timestamp=built.message_timestamp,
    )
    assert built == plain
    assert plain == built
    assert (hash(built), repr(built)) == (hash(plain.message_id), repr(plain))
    assert built.copy(options={"lane": "high"}).options == {"results": True, "lane": "high"}
    again = built.copy(message_id=work.message(1).message_id)
    await broker.aenqueue_many([built, again, plain])
    ids = [text_from_id(message.message_id) for message in sent(store)]
    assert ids == [built.message_id, again.message_id, built.message_id]


async def test_messages_built_before_keep_the_delay_they_were_built_with(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    messages = [work.message(1), work.using(delay=SECOND).message(2)]
    await octoqueue.asend_many(messages, broker=broker)
    assert [message.delay_ms for message in sent(store)] == [0, 1_000]
    await octoqueue.asend_many(
        [work.using(delay=SECOND).message(3)], delay=3 * SECOND, broker=broker
    )
    assert sent(store)[-1].delay_ms == 3_000


async def test_many_messages_are_accepted_all_or_none() -> None:
    store = WatchedStore(memory_store(default_bounds=LaneBounds(normal=5)))
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work(number: int) -> None: ...

    with pytest.raises(LaneFull) as caught:
        await octoqueue.asend_many([work.message(n) for n in range(6)], broker=broker)
    error = caught.value
    assert (error.queue, error.lane, error.depth, error.bound) == ("default", "normal", 0, 5)
    assert error.retryable
    assert (await store.stats("default")).waiting == 0
    handles = await octoqueue.asend_many([work.message(n) for n in range(5)], broker=broker)
    assert len(handles) == 5
    assert await octoqueue.asend_many([], broker=broker) == []


def test_the_blocking_twins_send_from_a_plain_thread(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    handle = work.send(1)
    handles = octoqueue.send_many([work.message(2), work.message(3)], broker=broker)
    delayed = work.using(delay=SECOND).send(4)
    with_options = work.send_with_options(args=(5,), delay=2 * SECOND)
    broker.close()
    broker.close()
    ids = [one.message_id for one in (handle, *handles, delayed, with_options)]
    assert [text_from_id(message.message_id) for message in sent(store)] == ids
    assert [message.delay_ms for message in sent(store)] == [0, 0, 0, 1_000, 2_000]


def test_a_broker_that_was_closed_opens_again(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    work.send(1)
    broker.close()
    work.send(2)
    broker.close()
    assert len(sent(store)) == 2


async def test_a_message_for_an_actor_declared_elsewhere_is_sent_too(
    store: WatchedStore, broker: LaneBroker
) -> None:
    message: dramatiq.Message[Any] = dramatiq.Message(
        queue_name="coder", actor_name="elsewhere", args=(1,), kwargs={}, options={}
    )
    handle = await broker.aenqueue(message)
    assert handle.message_id == message.message_id
    assert sent(store)[0].queue == "coder"


# ── what is refused ──────────────────────────────────────────────────────────────────────────────


async def test_what_has_no_json_form_is_refused_before_it_is_sent(
    store: WatchedStore, work: AsyncActor[[object], None]
) -> None:
    for payload in (object(), {(1, 2): 3}, b"bytes", {1, 2}, [2**70, object()]):
        with pytest.raises(PayloadNotSerializable, match="work"):
            await work.asend(payload)
    assert not sent(store)


async def test_a_payload_over_the_limit_is_refused_with_both_sizes(store: WatchedStore) -> None:
    broker = broker_on(store, defaults=Defaults(max_payload_bytes=500))

    @octoqueue.actor(broker=broker)
    async def work(payload: str) -> None: ...

    await work.asend("x" * 100)
    with pytest.raises(EnvelopeTooLarge) as caught:
        await work.asend("x" * 1000)
    assert caught.value.limit_bytes == 500 < caught.value.payload_bytes
    with pytest.raises(EnvelopeTooLarge):
        await octoqueue.asend_many([work.message("x"), work.message("x" * 1000)], broker=broker)
    assert len(sent(store)) == 1


async def test_impossible_delays_and_lanes_of_dramatiqs_options_are_refused(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    for delay in (timedelta(milliseconds=-1), timedelta(days=400)):
        with pytest.raises(InvalidMessage) as caught:
            await broker.aenqueue(work.message(1), delay=delay)
        assert caught.value.field == "delay"
    with pytest.raises(InvalidMessage):
        await broker.aenqueue(work.message_with_options(args=(1,), lane="urgent"))
    assert not sent(store)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("delay", "5"),
        ("delay", float("nan")),
        ("tenant", 5),
        ("unique", 5),
        ("expires", "soon"),
        ("deadline", 1_000),
        ("results", "yes"),
    ],
)
async def test_options_of_a_wrong_type_are_refused_by_name(
    store: WatchedStore,
    broker: LaneBroker,
    work: AsyncActor[[object], None],
    field: str,
    value: object,
) -> None:
    options: dict[str, Any] = {field: value}
    with pytest.raises(InvalidMessage) as caught:
        await broker.aenqueue(work.message_with_options(args=(1,), **options))
    assert caught.value.field == field
    assert not sent(store)


async def test_a_store_that_is_gone_is_said_to_be_and_is_worth_another_try(
    store: WatchedStore, work: AsyncActor[[object], None]
) -> None:
    store.fail("enqueue", gone())
    with pytest.raises(StoreUnavailable) as caught:
        await work.asend(1)
    assert caught.value.retryable


async def test_a_block_inside_a_connected_block_leaves_the_store_open(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    async with broker.connected():
        async with broker.connected():
            await work.asend(1)
        await work.asend(2)
        assert not store.called("aclose")
    assert len(store.called("aclose")) == 1


async def test_the_result_of_a_message_that_was_never_sent_is_refused_as_such(
    work: AsyncActor[[object], None],
) -> None:
    with pytest.raises(ResultNotKept, match="not sent"):
        await work.message(1).result()
    again = (await work.asend(1)).copy()
    with pytest.raises(ResultNotKept, match="not sent"):
        await again.result()  # type: ignore[attr-defined] # a copy is a message like any other


# ── dramatiq's hooks around sending ──────────────────────────────────────────────────────────────


class Tagging(dramatiq.Middleware):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int) -> None:
        message.options["tag"] = 1
        self.seen.append("before")

    def after_enqueue(self, broker: Broker, message: Message[Any], delay: int) -> None:
        self.seen.append("after")
        raise RuntimeError("broken hook")


class Refusing(dramatiq.Middleware):
    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int) -> None:
        raise dramatiq.middleware.MiddlewareError("not today")


async def test_enqueue_hooks_see_each_message_and_a_broken_one_changes_nothing(
    store: WatchedStore,
    broker: LaneBroker,
    work: AsyncActor[[object], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    tagging = Tagging()
    broker.add_middleware(tagging)
    await octoqueue.asend_many([work.message(1), work.message(2)], broker=broker)
    assert tagging.seen == ["before", "before", "after", "after"]
    assert decode_body(sent(store)[1].payload).options == {"tag": 1}
    assert caplog.messages.count("hook_failed") == 2


async def test_middleware_may_refuse_a_message_before_it_is_sent(
    store: WatchedStore, broker: LaneBroker, work: AsyncActor[[object], None]
) -> None:
    broker.add_middleware(Refusing())
    with pytest.raises(dramatiq.middleware.MiddlewareError, match="not today"):
        await work.asend(1)
    assert not sent(store)
