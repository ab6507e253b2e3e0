# ruff: noqa: ANN401 - hooks take what dramatiq passes
"""dramatiq's middleware around messages in our worker."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dramatiq
import pytest
from dramatiq.middleware import (
    CurrentMessage,
    Middleware,
    MiddlewareError,
    Retries,
    SkipMessage,
    TimeLimit,
)
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend
from dramatiq.results.errors import ResultFailure

import octoqueue
from octoqueue.broker.lanes_middleware import Lanes
from octoqueue.errors import ActorFailed
from octoqueue.maintenance.promoter import Promoter
from tests.running import SHORTLY, WatchedStore, broker_on, reason_of_death, running, until_done

if TYPE_CHECKING:
    from dramatiq import Broker, Message
    from dramatiq.broker import MessageProxy

HOUR_SECONDS = 3600


class Recording(Middleware):
    """Writes down which hooks are called, in which thread, with what."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.threads: list[int] = []
        self.local = threading.local()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        self.seen.append(f"before {message.actor_name}")
        self.threads.append(threading.get_ident())

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        told = type(exception).__name__ if exception else repr(result)
        self.seen.append(f"after {message.actor_name} {told}")
        self.threads.append(threading.get_ident())

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        self.seen.append(f"skip {message.actor_name}")

    def before_ack(self, broker: Broker, message: MessageProxy) -> None:
        self.seen.append("before_ack")

    def after_ack(self, broker: Broker, message: MessageProxy) -> None:
        self.seen.append("after_ack")

    def after_nack(self, broker: Broker, message: MessageProxy) -> None:
        self.seen.append(f"after_nack {type(message._exception).__name__}")


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_hooks_are_called_around_an_actor_in_dramatiqs_order(kind: str) -> None:
    recording = Recording()
    broker = broker_on(middleware=[recording])

    async def work_async(number: int) -> int:
        recording.seen.append("work")
        return number + 1

    def work_sync(number: int) -> int:
        recording.seen.append("work")
        recording.threads.append(threading.get_ident())
        return number + 1

    work: Any = octoqueue.actor(broker=broker, name="work")(
        work_async if kind == "async" else work_sync
    )
    async with running(broker):
        await work.asend(1)
        await until_done(broker.store(), "default", 1)
    assert recording.seen == ["before work", "work", "after work 2", "before_ack", "after_ack"]
    assert threading.get_ident() not in recording.threads
    if kind == "sync":
        assert len(set(recording.threads)) == 1


async def test_a_dead_message_is_nacked_with_what_killed_it_and_a_retried_one_acked() -> None:
    recording = Recording()
    broker = broker_on(middleware=[Retries(max_retries=0), recording])

    @octoqueue.actor(broker=broker, max_retries=1, min_backoff=timedelta(0))
    async def fail() -> None:
        raise ValueError

    async with running(broker):
        await fail.asend()
        await until_done(broker.store(), "default", 1)
    assert recording.seen == [
        "before fail",
        "after fail ValueError",
        "before_ack",
        "after_ack",
        "before fail",
        "after fail ValueError",
        "after_nack ValueError",
    ]


class Broken(Middleware):
    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        raise RuntimeError("before")

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        raise RuntimeError("after")

    def before_ack(self, broker: Broker, message: MessageProxy) -> None:
        raise RuntimeError("ack")

    def after_process_boot(self, broker: Broker) -> None:
        raise RuntimeError("boot")


async def test_a_broken_hook_is_logged_and_breaks_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = broker_on(middleware=[Broken()])

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    async with running(broker):
        await work.asend()
        stats = await until_done(broker.store(), "default", 1)
    assert stats.counters["acked"] == 1
    hooks = [getattr(record, "hook", None) for record in caplog.records]
    assert hooks == [
        "after_process_boot",
        "before_process_message",
        "after_process_message",
        "before_ack",
    ]


class Gatekeeper(Middleware):
    """Skips, fails or refuses messages by their first argument."""

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        wish = message.args[0]
        if "fail" in wish:
            message.fail()
        if "skip" in wish:
            raise SkipMessage
        if "refuse" in wish:
            raise MiddlewareError("not today")


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_middleware_can_skip_fail_or_refuse_a_message_before_it_runs(kind: str) -> None:
    recording, ran = Recording(), list[str]()
    broker = broker_on(middleware=[Retries(max_retries=0), Gatekeeper(), recording])

    async def work_async(wish: str) -> None:
        ran.append(wish)

    def work_sync(wish: str) -> None:
        ran.append(wish)

    work: Any = octoqueue.actor(broker=broker, name="work")(
        work_async if kind == "async" else work_sync
    )
    async with running(broker):
        for wish in ("skip", "skip and fail", "fail", "refuse", "run"):
            await work.asend(wish)
        stats = await until_done(broker.store(), "default", 5)
        letters = await broker.store().dead_letters("default")
    assert ran == ["run"]
    assert (stats.counters["acked"], stats.dead) == (2, 3)
    reasons = sorted(letter.reason.split(b'"')[3].decode() for letter in letters)
    assert reasons == ["MessageRejected", "MessageRejected", "MiddlewareError"]
    assert recording.seen.count("skip work") == 2


async def test_a_skipped_message_has_an_empty_result() -> None:
    broker = broker_on(middleware=[Gatekeeper(), Lanes()])

    @octoqueue.actor(broker=broker, results=True)
    async def work(wish: str) -> str:
        return wish

    async with running(broker):
        handle: Any = await work.asend("skip")
        assert await handle.result(timeout=SHORTLY) is None
        refused = await work.asend("fail")
        with pytest.raises(ActorFailed, match="MessageRejected"):
            await refused.result(timeout=SHORTLY)


async def test_hooks_added_after_an_actor_has_run_are_called_too() -> None:
    broker, recording = broker_on(), Recording()

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    async with running(broker):
        await work.asend()
        await until_done(broker.store(), "default", 1)
        broker.add_middleware(recording)
        await work.asend()
        await until_done(broker.store(), "default", 2)
    assert recording.seen[0] == "before work"


class Sending(Middleware):
    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        if message.actor_name == "work":
            self.actor.send(type(exception).__name__)


async def test_what_a_hook_sends_is_committed_with_the_message_even_when_it_failed() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, queue="other")
    async def note(error: str) -> None: ...

    @octoqueue.actor(broker=broker, max_retries=0)
    async def work() -> None:
        await note.asend("dropped with the failure")
        raise ValueError

    broker.add_middleware(Sending(note))
    async with running(broker):
        await work.asend()
        await until_done(store, "default", 1)
    assert len(store.called("enqueue")) == 1
    assert (await store.stats("other")).waiting == 1


class Slow(Middleware):
    def __init__(self, release: threading.Event) -> None:
        self.release = release

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        self.release.wait(10)


async def test_a_time_limit_that_ends_inside_a_hook_leaks_no_slot() -> None:
    release = threading.Event()
    broker = broker_on(middleware=[Retries(max_retries=0), TimeLimit(), Slow(release)])

    @octoqueue.actor(broker=broker, time_limit=timedelta(milliseconds=30))
    async def work() -> None: ...

    async with running(broker, concurrency=1):
        await work.asend()
        assert (await reason_of_death(broker.store(), "default"))["error"] == "TimeLimitExceeded"
        release.set()
        await work.asend()
        await until_done(broker.store(), "default", 2)


async def test_a_sync_actor_between_hooks_is_interrupted_too() -> None:
    broker = broker_on(middleware=[Retries(max_retries=0), TimeLimit(), Recording()])

    @octoqueue.actor(broker=broker, time_limit=timedelta(milliseconds=30))
    def spin() -> None:
        stop = threading.Event()
        while not stop.wait(0.001):
            pass

    async with running(broker):
        await spin.asend()
        assert (await reason_of_death(broker.store(), "default"))["error"] == "TimeLimitExceeded"


async def test_more_sync_actors_between_hooks_than_default_threads_run_at_once() -> None:
    broker, barrier = broker_on(middleware=[Recording()]), threading.Barrier(40)

    @octoqueue.actor(broker=broker)
    def meet() -> None:
        barrier.wait(timeout=10)

    async with running(broker, concurrency=40):
        await octoqueue.asend_many([meet.message() for _ in range(40)], broker=broker)
        stats = await until_done(broker.store(), "default", 40)
    assert stats.counters["acked"] == 40


async def test_middleware_derived_from_what_our_worker_does_itself_does_not_do_it_twice() -> None:
    class MyRetries(Retries):
        pass

    broker, tries = broker_on(middleware=[MyRetries(max_retries=1, min_backoff=1)]), list[int]()

    @octoqueue.actor(broker=broker)
    async def fail() -> None:
        tries.append(1)
        raise ValueError

    async with running(broker):
        promoter = Promoter(broker.store(), ["default"])
        await promoter.start()
        await fail.asend()
        stats = await until_done(broker.store(), "default", 1)
        await promoter.stop()
    assert (len(tries), stats.dead, stats.counters["enqueued"]) == (2, 1, 1)


def partial(actor: Any, *args: object) -> Any:
    """Build a message whose missing arguments a pipeline fills in."""
    return actor.message(*args)


# ── a program written for dramatiq ───────────────────────────────────────────────────────────────


async def test_a_stock_program_runs_on_our_worker() -> None:
    broker, ran = broker_on(), list[Any]()

    @dramatiq.actor(broker=broker)
    def add(a: int, b: int) -> int:
        ran.append(CurrentMessage.get_current_message())
        return a + b

    @dramatiq.actor(broker=broker)
    async def double(number: int) -> int:
        ran.append(CurrentMessage.get_current_message())
        return number * 2

    @dramatiq.actor(broker=broker)
    def note(*args: Any) -> None:
        ran.append(args)

    message = await asyncio.to_thread(add.send, 1, 2)
    async with running(broker):
        await until_done(broker.store(), "default", 1)
        chain = [add.message(1, 2), partial(double), note.message("x")]
        await broker.aenqueue(dramatiq.pipeline(chain, broker=broker).messages[0])
        await until_done(broker.store(), "default", 4)
    shown = [(m.actor_name, m.args) for m in ran if not isinstance(m, tuple)]
    assert shown == [("add", (1, 2)), ("add", (1, 2)), ("double", (3,))]
    assert ran[0].message_id == message.message_id
    assert ran[-1] == ("x", 6)
    assert CurrentMessage.get_current_message() is None


async def test_pipelines_callbacks_and_groups_go_on_with_what_was_returned() -> None:
    broker, ran = broker_on(), list[Any]()

    @octoqueue.actor(broker=broker)
    async def add(a: int, b: int = 10) -> int:
        return a + b

    @octoqueue.actor(broker=broker)
    def collect(number: int) -> None:
        ran.append(("collected", number))

    @octoqueue.actor(broker=broker)
    def succeeded(message: dict[str, Any], result: Any) -> None:
        ran.append(("succeeded", message["actor_name"], result))

    @octoqueue.actor(broker=broker)
    def failed(message: dict[str, Any], error: dict[str, str]) -> None:
        ran.append(("failed", message["actor_name"], error["type"]))

    @octoqueue.actor(broker=broker, max_retries=0, on_failure="failed")
    async def fail() -> None:
        raise ValueError

    pipe = dramatiq.pipeline([add.message(1), partial(add), partial(collect)], broker=broker)
    pair = [dramatiq.pipeline([add.message(n), partial(collect)], broker=broker) for n in (5, 6)]
    group = dramatiq.group(pair, broker=broker)  # type: ignore[no-untyped-call] # dramatiq's
    async with running(broker):
        await asyncio.to_thread(pipe.run)
        await asyncio.to_thread(group.run)
        await broker.aenqueue(add.message_with_options(args=(2,), on_success=succeeded))
        await fail.asend()
        stats = await until_done(broker.store(), "default", 3 + 4 + 2 + 2)
    assert stats.dead == 1
    assert sorted(ran) == [
        ("collected", 15),
        ("collected", 16),
        ("collected", 21),
        ("failed", "fail", "ValueError"),
        ("succeeded", "add", 12),
    ]


async def test_dramatiqs_results_are_stored_and_so_are_its_failures() -> None:
    backend = StubBackend()
    broker = broker_on()
    results = Results(backend=backend)  # type: ignore[no-untyped-call] # dramatiq's
    broker.add_middleware(results)

    @dramatiq.actor(broker=broker, store_results=True)
    def add(a: int, b: int) -> int:
        return a + b

    @dramatiq.actor(broker=broker, store_results=True, max_retries=0)
    def fail() -> None:
        raise LookupError("nothing there")

    async with running(broker):
        good: Message[int] = await broker.aenqueue(add.message(1, 2))
        bad: Message[None] = await broker.aenqueue(fail.message())
        await until_done(broker.store(), "default", 2)
    assert good.get_result(backend=backend) == 3
    with pytest.raises(ResultFailure, match="nothing there"):
        bad.get_result(backend=backend)


class Life(Middleware):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def after_process_boot(self, broker: Broker) -> None:
        self.seen.append("after_process_boot")

    def before_worker_boot(self, broker: Broker, worker: Any) -> None:
        self.seen.append("before_worker_boot")

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        self.seen.append("after_worker_boot")

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        self.seen.append("before_worker_shutdown")

    def after_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        self.seen.append("after_worker_shutdown")


async def test_middleware_is_told_of_the_life_of_our_worker() -> None:
    life = Life()
    broker = broker_on()
    broker.add_middleware(life)
    async with running(broker):
        pass
    assert life.seen == [
        "after_process_boot",
        "before_worker_boot",
        "after_worker_boot",
        "before_worker_shutdown",
        "after_worker_shutdown",
    ]
