"""How attempts run: on the loop, in threads, with their context, and what their endings mean."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dramatiq
import pytest

import octoqueue
from octoqueue.broker.context import CURRENT
from octoqueue.errors import ActorFailed, ResultNotKept, ResultTimeout, StoreUnavailable
from octoqueue.lanes.options import LaneBounds
from octoqueue.primitives.ids import id_from_text
from tests.contract.world import messages
from tests.running import (
    SHORTLY,
    Gate,
    WatchedStore,
    broker_on,
    gone,
    memory_store,
    reason_of_death,
    running,
    until,
    until_done,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.broker.context import MessageContext
    from octoqueue.broker.handles import MessageHandle

SECOND = timedelta(seconds=1)
WIDE = LaneBounds(high=10_000, normal=10_000, low=10_000)


async def test_async_actors_run_on_the_loop_and_plain_functions_in_threads() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, results=True)
    async def on_loop() -> int:
        asyncio.get_running_loop()
        return threading.get_ident()

    @octoqueue.actor(broker=broker, results=True)
    def in_thread() -> int:
        return threading.get_ident()

    async with running(broker):
        first, second = await on_loop.asend(), await in_thread.asend()
        assert await first.result(timeout=SHORTLY) == threading.get_ident()
        assert await second.result(timeout=SHORTLY) != threading.get_ident()


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_the_running_message_is_known_inside_the_actor_only(kind: str) -> None:
    broker = broker_on()
    seen: list[MessageContext | None] = []

    def look_sync() -> None:
        seen.append(octoqueue.current_message())

    async def look_async() -> None:
        look_sync()

    look: Any = octoqueue.actor(broker=broker, queue="q", lane="high", name="look")(
        look_async if kind == "async" else look_sync
    )

    async with running(broker, "q"):
        handle = await look.asend()
        await until_done(broker.store(), "q", 1)
    assert octoqueue.current_message() is None
    (context,) = seen
    assert context is not None
    assert (context.message_id, context.actor) == (handle.message_id, "look")
    assert (context.queue, context.lane) == ("q", "high")
    assert (context.attempt, context.deliveries) == (0, 0)
    assert context.enqueued_at.tzinfo is not None
    # Two clocks, each cut to the millisecond: that of the store, and that of the worker.
    assert context.enqueued_at <= context.started_at + timedelta(milliseconds=2)


async def test_the_attempt_counts_executions_that_ended_in_a_retry() -> None:
    broker, attempts = broker_on(), list[int]()

    @octoqueue.actor(broker=broker, max_retries=3, min_backoff=timedelta(0))
    async def again() -> None:
        message = octoqueue.current_message()
        assert message is not None
        attempts.append(message.attempt)
        if message.attempt < 2:
            raise ValueError("not yet")

    async with running(broker):
        await again.asend()
        await until_done(broker.store(), "default", 1)
    assert attempts == [0, 1, 2]


async def test_what_an_actor_puts_into_a_context_variable_does_not_reach_the_next_message() -> None:
    broker = broker_on()
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen: list[str] = []

    @octoqueue.actor(broker=broker)
    def serve(name: str) -> None:
        seen.append(tenant.get())
        tenant.set(name)

    async with running(broker, threads=1, concurrency=1):
        await octoqueue.asend_many([serve.message(n) for n in "abc"], broker=broker)
        await until_done(broker.store(), "default", 3)
    assert seen == ["nobody"] * 3


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_an_actor_that_wants_to_end_the_process_only_fails(
    kind: str, error: type[BaseException]
) -> None:
    broker, ran = broker_on(), list[int]()

    async def leave_async() -> None:
        raise error

    def leave_sync() -> None:
        raise error

    leave: Any = octoqueue.actor(broker=broker, name="leave", max_retries=0)(
        leave_async if kind == "async" else leave_sync
    )

    @octoqueue.actor(broker=broker)
    async def go_on() -> None:
        ran.append(1)

    async with running(broker):
        await leave.asend()
        reason = await reason_of_death(broker.store(), "default")
        assert (reason["error"], reason["actor"]) == (error.__name__, "leave")
        await go_on.asend()
        await until_done(broker.store(), "default", 2)
    assert ran == [1]


async def test_a_plain_function_that_returns_an_awaitable_is_awaited() -> None:
    broker, ran = broker_on(), list[str]()

    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper() -> object:
            ran.append("wrapper")
            return function()

        return wrapper

    @octoqueue.actor(broker=broker, results=True)
    @logged
    async def work() -> str:
        message = octoqueue.current_message()
        assert message is not None
        ran.append("work")
        return message.actor

    async with running(broker):
        handle = await work.asend()
        assert await handle.result(timeout=SHORTLY) == "work"
    assert ran == ["wrapper", "work"]


async def test_an_awaitable_of_a_plain_function_may_fail_and_is_told_to_hooks_too() -> None:
    seen: list[str] = []

    class Watching(dramatiq.Middleware):
        def after_process_message(
            self,
            broker: dramatiq.Broker,
            message: dramatiq.broker.MessageProxy,
            *,
            result: object = None,
            exception: BaseException | None = None,
        ) -> None:
            seen.append(type(exception).__name__ if exception else str(result))

    async def inner(word: str) -> str:
        if word == "fail":
            raise LookupError
        return word

    def outer(word: str) -> Any:  # noqa: ANN401 - a decorator that hides what it wraps
        return inner(word)

    for watched in (False, True):
        broker = broker_on()
        if watched:
            broker.add_middleware(Watching())
        actor: Any = octoqueue.actor(broker=broker, name="outer", max_retries=0)(outer)
        async with running(broker):
            await actor.asend("fine")
            await actor.asend("fail")
            stats = await until_done(broker.store(), "default", 2)
        assert (stats.counters["acked"], stats.dead) == (1, 1)
    assert sorted(seen) == ["LookupError", "fine"]


async def test_wrong_arguments_are_a_failure_of_the_message_not_of_the_worker() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, max_retries=0)
    async def one(number: int) -> None: ...

    async with running(broker):
        await one.asend(1, 2)  # type: ignore[call-arg]
        assert (await reason_of_death(broker.store(), "default"))["error"] == "TypeError"


# ── results ──────────────────────────────────────────────────────────────────────────────────────


async def test_the_result_and_the_error_of_an_actor_reach_its_caller() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, results=True)
    async def double(number: int) -> int:
        return number * 2

    @octoqueue.actor(broker=broker, results=True, max_retries=0)
    async def fail() -> None:
        raise LookupError("nothing there")

    @octoqueue.actor(broker=broker, results=True)
    async def nothing() -> None: ...

    async with running(broker):
        assert await (await double.asend(21)).result(timeout=SHORTLY) == 42
        handle: MessageHandle[Any] = await nothing.asend()
        assert await handle.result(timeout=SHORTLY) is None
        handle = await fail.asend()
        with pytest.raises(ActorFailed) as caught:
            await handle.result(timeout=SHORTLY)
    assert (caught.value.error, caught.value.detail) == ("LookupError", "nothing there")
    assert caught.value.message_id == handle.message_id
    assert "raise LookupError" in caught.value.trace


async def test_a_result_nobody_keeps_is_refused_at_once_and_a_late_one_times_out() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker)
    async def forget() -> None: ...

    with pytest.raises(ResultNotKept, match="results=True"):
        await (await forget.asend()).result()
    with pytest.raises(ResultTimeout) as caught:
        await (await forget.using(results=True).asend()).result(timeout=timedelta(milliseconds=5))
    assert caught.value.retryable


@pytest.mark.parametrize(
    "message_id",
    [
        "0b8f4ed5-7b14-4c1f-9d2a-1f0c3a5c9b77",  # a uuid4
        "01890a5d-ac96-774b-bcce-b302099a8057",  # a uuid7
    ],
)
async def test_a_message_with_an_id_of_the_callers_own_has_a_result_too(message_id: str) -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, results=True)
    async def name() -> str:
        message = octoqueue.current_message()
        assert message is not None
        return message.message_id

    async with running(broker):
        handle = await name.using(message_id=message_id).asend()
        assert handle.message_id == message_id
        assert await handle.result(timeout=SHORTLY) == message_id


async def test_a_child_with_an_id_of_its_own_has_a_result_too() -> None:
    broker = broker_on()
    message_id = "0b8f4ed5-7b14-4c1f-9d2a-1f0c3a5c9b77"

    @octoqueue.actor(broker=broker, results=True)
    async def child() -> str:
        message = octoqueue.current_message()
        assert message is not None
        return message.message_id

    @octoqueue.actor(broker=broker, results=True)
    async def parent() -> str:
        handle = await child.using(message_id=message_id).asend()
        return await handle.result(timeout=SHORTLY)

    async with running(broker):
        assert await (await parent.asend()).result(timeout=SHORTLY) == message_id


async def test_a_result_without_a_json_form_fails_the_message_once_and_drops_its_follow_ups() -> (
    None
):
    broker, ran = broker_on(), list[str]()

    @octoqueue.actor(broker=broker)
    async def child() -> None:
        ran.append("child")

    @octoqueue.actor(broker=broker, results=True, max_retries=3, min_backoff=timedelta(0))
    async def odd() -> object:
        ran.append("odd")
        await child.asend()
        return object()

    async with running(broker):
        handle = await odd.asend()
        with pytest.raises(ActorFailed) as caught:
            await handle.result(timeout=SHORTLY)
        assert caught.value.error == "PayloadNotSerializable"
        assert (await broker.store().stats("default")).waiting == 0
    assert ran == ["odd"]


# ── awkward errors ───────────────────────────────────────────────────────────────────────────────


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Exiting(Exception):
    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Mute(), id="no_str"),
        pytest.param(Exiting(), id="str_exits"),
        pytest.param(ValueError("caf\udce9.txt"), id="surrogate"),
        pytest.param(ValueError("x" * 1_000_000), id="very_long"),
    ],
)
async def test_an_error_that_is_hard_to_write_down_still_ends_its_message(
    error: Exception,
) -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, results=True, max_retries=0)
    async def fail() -> None:
        raise error

    async with running(broker, concurrency=1) as worker:
        handle = await fail.asend()
        with pytest.raises(ActorFailed) as caught:
            await handle.result(timeout=SHORTLY)
        assert caught.value.error == type(error).__name__
        assert len(caught.value.detail) < 10_000
        await until(lambda: worker._claimer.free == 1)


class NeverSaid(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise ZeroDivisionError


class Unclear(Exception, metaclass=NeverSaid):
    pass


def leave(attempt: int, error: BaseException) -> bool:
    raise SystemExit


@pytest.mark.parametrize(
    ("options", "told"),
    [({"throws": Unclear}, "ZeroDivisionError"), ({"retry_when": leave}, "SystemExit")],
)
async def test_an_ending_that_cannot_be_judged_is_a_dead_letter_and_its_caller_is_told(
    options: dict[str, Any], told: str
) -> None:
    broker = broker_on()

    async def refuse() -> None:
        raise ValueError("no")

    fail: Any = octoqueue.actor(broker=broker, results=True, **options)(refuse)

    async with running(broker, concurrency=1) as worker:
        handle = await fail.asend()
        with pytest.raises(ActorFailed) as caught:
            await handle.result(timeout=SHORTLY)
        assert caught.value.error == told
        await until(lambda: worker._claimer.free == 1)


async def test_a_broken_retry_when_is_logged_and_the_usual_rule_holds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = broker_on()

    def broken(attempt: int, error: BaseException) -> bool:
        raise ZeroDivisionError

    @octoqueue.actor(broker=broker, max_retries=0, retry_when=broken)
    async def fail() -> None:
        raise ValueError("no")

    async with running(broker, concurrency=1) as worker:
        await fail.asend()
        assert (await reason_of_death(broker.store(), "default"))["error"] == "ValueError"
        await until(lambda: worker._claimer.free == 1)
    assert "retry_when_failed" in caplog.text


# ── follow-ups ───────────────────────────────────────────────────────────────────────────────────


async def test_follow_ups_are_committed_with_the_ack_in_one_call() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, queue="other")
    async def child(number: int) -> None: ...

    @octoqueue.actor(broker=broker)
    async def parent() -> None:
        await child.asend(1)
        await octoqueue.asend_many([child.message(2), child.message(3)], broker=broker)
        child.send(4)
        octoqueue.send_many([child.message(5)], broker=broker)

    async with running(broker):
        await parent.asend()
        await until_done(store, "default", 1)
    assert len(store.called("enqueue")) == 1
    (settlement,) = store.called("commit")[0][1]["settlements"]
    assert len(settlement.follow_ups) == 5
    assert (await store.stats("other")).waiting == 5


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_follow_ups_of_a_failed_attempt_are_dropped(kind: str) -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, queue="other")
    async def child() -> None: ...

    async def fail_async() -> None:
        await child.asend()
        raise ValueError("after sending")

    def fail_sync() -> None:
        child.send()
        raise ValueError("after sending")

    parent: Any = octoqueue.actor(
        broker=broker, name="parent", max_retries=1, min_backoff=timedelta(0)
    )(fail_async if kind == "async" else fail_sync)

    async with running(broker):
        await parent.asend()
        stats = await until_done(broker.store(), "default", 1)
    assert stats.counters["retried"] == 1
    assert (await (await broker.opened_store()).stats("other")).waiting == 0


async def test_follow_ups_are_stored_over_the_bound_because_the_parent_cannot_be_refused() -> None:
    from octoqueue.lanes.options import LaneBounds
    from tests.running import memory_store

    store = memory_store(bounds={"other": LaneBounds(high=1, normal=1, low=1)})
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, queue="other")
    async def child() -> None: ...

    @octoqueue.actor(broker=broker)
    async def parent() -> None:
        for _ in range(3):
            await child.asend()

    async with running(broker):
        await parent.asend()
        await until_done(store, "default", 1)
    assert (await store.stats("other")).waiting == 3


async def test_waiting_for_a_childs_result_inside_an_actor_does_not_deadlock() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, results=True)
    async def add(a: int, b: int) -> int:
        return a + b

    @octoqueue.actor(broker=broker, results=True)
    async def total() -> int:
        handles = await octoqueue.asend_many([add.message(n, n) for n in range(3)], broker=broker)
        return sum([await handle.result(timeout=SHORTLY) for handle in handles])

    async with running(broker):
        assert await (await total.asend()).result(timeout=SHORTLY) == 6


async def test_thousands_of_children_are_given_up_in_any_order_without_holding_up_the_loop() -> (
    None
):
    broker, spent = broker_on(memory_store(default_bounds=WIDE)), list[float]()

    @octoqueue.actor(broker=broker)
    async def child(number: int) -> None: ...

    @octoqueue.actor(broker=broker)
    async def parent() -> None:
        message = octoqueue.current_message()
        assert message is not None
        idents = [id_from_text((await child.asend(n)).message_id) for n in range(5_000)]
        began = time.monotonic()
        assert all(ident and message.give_up(ident) for ident in reversed(idents))
        spent.append(time.monotonic() - began)

    async with running(broker):
        await parent.asend()
        await until(lambda: spent)
    assert spent[0] < 2


async def test_a_child_that_could_not_be_sent_early_is_committed_with_its_parent() -> None:
    store = WatchedStore()
    broker, seen = broker_on(store), list[str]()

    @octoqueue.actor(broker=broker, results=True)
    async def child() -> None:
        seen.append("child")

    @octoqueue.actor(broker=broker)
    async def parent() -> None:
        handle = await child.asend()
        store.fail("enqueue", gone())
        try:
            await handle.result(timeout=SHORTLY)
        except StoreUnavailable:
            seen.append("refused")

    async with running(broker):
        await parent.asend()
        await until(lambda: len(seen) == 2)
    assert seen == ["refused", "child"]


async def test_waiting_inside_an_actor_for_a_duplicate_waits_for_the_message_that_is_there() -> (
    None
):
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, results=True, unique=octoqueue.Unique(key=lambda _: "one"))
    async def child(number: int) -> int:
        await until(lambda: len(store.called("enqueue")) == 3)
        return number

    @octoqueue.actor(broker=broker, results=True)
    async def parent() -> int:
        return await (await child.asend(2)).result(timeout=SHORTLY)

    async with running(broker):
        await child.asend(1)
        assert await (await parent.asend()).result(timeout=SHORTLY) == 1


async def test_a_task_that_outlives_its_actor_can_still_send() -> None:
    store, gate = WatchedStore(), Gate()
    broker = broker_on(store)
    tasks: list[asyncio.Task[None]] = []

    @octoqueue.actor(broker=broker, queue="other")
    async def child() -> None: ...

    async def later() -> None:
        await gate.pass_through()
        await child.asend()

    @octoqueue.actor(broker=broker)
    async def parent() -> None:
        tasks.append(asyncio.create_task(later()))

    async with running(broker):
        await parent.asend()
        await until_done(store, "default", 1)
        gate.opened.set()
        await tasks[0]
        assert (await store.stats("other")).waiting == 1


def test_a_message_sent_while_the_context_is_sealed_is_never_lost() -> None:
    """A thread that sends in the very moment its attempt ends: kept or refused, never neither."""
    from octoqueue.broker.context import MessageContext

    nothing: Any = None

    sent = messages(50)

    def keep_some(context: MessageContext, ready: threading.Barrier, kept: list[bool]) -> None:
        ready.wait()
        kept.extend(context.keep([one]) for one in sent)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(200):
            context = MessageContext(nothing, nothing, started_at_ms=0)
            kept: list[bool] = []
            ready = threading.Barrier(2)
            thread = threading.Thread(target=keep_some, args=(context, ready, kept))
            thread.start()
            ready.wait()
            sealed = context.seal()
            thread.join()
            assert len(sealed) == sum(kept)
    finally:
        sys.setswitchinterval(interval)


async def test_an_attempts_context_is_gone_from_the_thread_when_it_has_ended() -> None:
    broker, seen = broker_on(), list[object]()

    @octoqueue.actor(broker=broker)
    def first() -> None: ...

    async with running(broker, threads=1, concurrency=1):
        await first.asend()
        await until_done(broker.store(), "default", 1)
        seen.append(CURRENT.get())
    assert seen == [None]


# ── many ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_machine_that_gives_no_more_threads_makes_messages_wait_for_those_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, ran = broker_on(), list[int]()
    start, started = threading.Thread.start, list[str]()

    def refuse_the_second(thread: threading.Thread) -> None:
        if thread.name.startswith("octoqueue-actor-"):
            if started:
                raise RuntimeError("can't start new thread")
            started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_the_second)

    @octoqueue.actor(broker=broker)
    def work(number: int) -> None:
        ran.append(number)

    async with running(broker):
        for number in range(10):
            await work.asend(number)
        await until_done(broker.store(), "default", 10)
    assert sorted(ran) == list(range(10))


async def test_more_sync_messages_than_threads_all_run_and_free_their_slots() -> None:
    broker, ran, lock = broker_on(), list[int](), threading.Lock()

    @octoqueue.actor(broker=broker)
    def work(number: int) -> None:
        time.sleep(0.001)
        with lock:
            ran.append(number)

    async with running(broker, threads=3, concurrency=50) as worker:
        await octoqueue.asend_many([work.message(n) for n in range(200)], broker=broker)
        await until_done(broker.store(), "default", 200)
        await until(lambda: worker._claimer.free == 50)
    assert sorted(ran) == list(range(200))
