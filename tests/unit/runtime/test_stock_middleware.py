# ruff: noqa: ANN401 - hooks take what dramatiq passes
"""Middleware written for dramatiq, in our worker: what it is told, and that it breaks nothing."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dramatiq
import pytest
from dramatiq.middleware import AgeLimit, GroupCallbacks, Middleware, Retries
from dramatiq.rate_limits import (
    Barrier,
    BucketRateLimiter,
    ConcurrentRateLimiter,
    WindowRateLimiter,
)
from dramatiq.rate_limits.backends import StubBackend

import octoqueue
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.running import broker_on, reason_of_death, running, until, until_done

if TYPE_CHECKING:
    from pathlib import Path

MESSAGE_HOOKS = (
    "before_process_message",
    "after_process_message",
    "before_enqueue",
    "after_enqueue",
    "before_ack",
    "after_ack",
    "before_nack",
    "after_nack",
)
LIFE_HOOKS = (
    "after_process_boot",
    "before_worker_boot",
    "after_worker_boot",
    "before_worker_shutdown",
    "after_worker_shutdown",
    "before_declare_actor",
    "after_declare_actor",
    "before_declare_queue",
    "after_declare_queue",
)
AT_ONCE: dict[str, Any] = {
    "min_backoff": timedelta(0),
    "max_backoff": timedelta(milliseconds=1),
}
THREAD_HOOKS = ("after_worker_thread_boot", "before_worker_thread_shutdown")


def middleware_with(*hooks: str, call: Any) -> Middleware:
    """Middleware whose hooks all call one function with their name and arguments."""

    def hook(name: str) -> Any:
        return lambda self, *args, **kwargs: call(name, *args, **kwargs)

    kind = type("Written", (Middleware,), {name: hook(name) for name in hooks})
    made: Middleware = kind()
    return made


def stub_backend() -> Any:
    """dramatiq's backend for rate limiters in memory."""
    kind: Any = StubBackend
    return kind()


# ── broken hooks ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_every_hook_may_break_and_the_work_goes_on(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken: set[str] = set()

    def fail(name: str, *args: Any, **kwargs: Any) -> None:
        broken.add(name)
        raise RuntimeError(name)

    hooks = (*MESSAGE_HOOKS, *LIFE_HOOKS, *THREAD_HOOKS)
    broker = broker_on(middleware=[Retries(), middleware_with(*hooks, call=fail)])
    ran: list[str] = []

    async def work_async(wish: str) -> None:
        work_sync(wish)

    def work_sync(wish: str) -> None:
        ran.append(wish)
        if wish == "fail":
            raise ValueError

    declare = octoqueue.actor(broker=broker, name="work", throws=ValueError)
    work: Any = declare(work_async if kind == "async" else work_sync)
    async with running(broker):
        await work.asend("succeed")
        await work.asend("fail")
        stats = await until_done(broker.store(), "default", 2)
    assert sorted(ran) == ["fail", "succeed"]
    assert (stats.counters["acked"], stats.dead) == (1, 1)
    assert broken == set(hooks)
    told = {getattr(record, "hook", None) for record in caplog.records} - {None}
    assert told == broken - {name for name in LIFE_HOOKS if "declare" in name}


async def test_a_hook_told_of_a_skip_may_break_too(caplog: pytest.LogCaptureFixture) -> None:
    def act(name: str, *args: Any) -> None:
        if name == "before_process_message":
            raise dramatiq.middleware.SkipMessage
        raise RuntimeError(name)

    hooks = ("before_process_message", "after_skip_message")
    broker = broker_on(middleware=[middleware_with(*hooks, call=act)])

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        raise AssertionError

    async with running(broker):
        await work.asend()
        stats = await until_done(broker.store(), "default", 1)
    assert stats.counters["acked"] == 1
    told = [getattr(record, "hook", None) for record in caplog.records]
    assert [name for name in told if name] == ["after_skip_message"]


# ── what hooks are told ──────────────────────────────────────────────────────────────────────────


async def test_threads_for_sync_actors_tell_of_their_beginning_and_their_end() -> None:
    told: list[tuple[str, threading.Thread, bool]] = []

    def note(name: str, _broker: Any, thread: threading.Thread) -> None:
        told.append((name, thread, thread is threading.current_thread()))

    broker = broker_on(middleware=[middleware_with(*THREAD_HOOKS, call=note)])
    ran_in: list[threading.Thread] = []

    @octoqueue.actor(broker=broker)
    def work() -> None:
        ran_in.append(threading.current_thread())

    async with running(broker, threads=1):
        await work.asend()
        await until_done(broker.store(), "default", 1)
        assert [name for name, _, _ in told] == ["after_worker_thread_boot"]
    assert [name for name, _, _ in told] == list(THREAD_HOOKS)
    assert [thread for _, thread, _ in told] == ran_in * 2
    assert all(inside for _, _, inside in told)


async def test_a_thread_that_does_not_end_does_not_hold_the_worker_up() -> None:
    broker = broker_on(middleware=[middleware_with(*THREAD_HOOKS, call=lambda *_: None)])
    stuck, begun = threading.Event(), threading.Event()

    @octoqueue.actor(broker=broker)
    def work() -> None:
        begun.set()
        stuck.wait(60)

    moment = timedelta(milliseconds=20)
    async with running(broker, drain=moment, grace=moment):
        await work.asend()
        await until(begun.is_set)
    stuck.set()


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_retry_tells_the_hooks_of_enqueueing_as_dramatiqs_does(kind: str) -> None:
    told: list[tuple[str, Any, Any]] = []

    def note(name: str, _broker: Any, message: Any, delay: int | None) -> None:
        told.append((name, message.options.get("retries"), delay))

    hooks = ("before_enqueue", "after_enqueue")
    broker = broker_on(middleware=[Retries(), middleware_with(*hooks, call=note)])

    async def fail_async() -> None:
        raise ValueError

    def fail_sync() -> None:
        raise ValueError

    declare = octoqueue.actor(broker=broker, name="fail", max_retries=2, **AT_ONCE)
    declared: Any = declare(fail_async if kind == "async" else fail_sync)
    async with running(broker):
        await declared.asend()
        await reason_of_death(broker.store(), "default")
    assert told[:2] == [("before_enqueue", None, 0), ("after_enqueue", None, 0)]
    assert [(name, retries) for name, retries, _ in told[2:]] == [
        ("before_enqueue", 1),
        ("after_enqueue", 1),
        ("before_enqueue", 2),
        ("after_enqueue", 2),
    ]


async def test_dramatiqs_prometheus_middleware_counts_in_our_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dramatiq_prom_db", "PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        monkeypatch.setenv(name, str(tmp_path))
    from dramatiq.middleware import prometheus

    monkeypatch.setattr(prometheus, "DB_PATH", str(tmp_path))
    made: Any = prometheus.Prometheus
    counting = made()
    broker, failed = broker_on(middleware=[Retries(), counting]), list[int]()

    async def work(wish: str) -> None:
        if wish == "die":
            raise ValueError
        if wish == "retry" and not failed:
            failed.append(1)
            raise ValueError

    declared: Any = octoqueue.actor(broker=broker, max_retries=1, **AT_ONCE)(work)
    async with running(broker):
        for wish in ("run", "retry", "die"):
            await declared.asend(wish)
        await until_done(broker.store(), "default", 3)

    def value(metric: Any) -> float:
        found: float = metric.labels("default", "work")._value.get()
        return found

    assert value(counting.total_messages) == 5
    assert value(counting.total_errored_messages) == 3
    assert value(counting.total_retried_messages) == 2
    assert value(counting.total_rejected_messages) == 1
    assert value(counting.inprogress_messages) == 0


# ── dramatiq's own parts ─────────────────────────────────────────────────────────────────────────


async def test_a_pipeline_ignores_what_it_is_told_to_ignore() -> None:
    broker, ran = broker_on(), list[Any]()

    @dramatiq.actor(broker=broker)
    def add(a: int, b: int) -> int:
        return a + b

    @dramatiq.actor(broker=broker)
    def note(*args: Any) -> None:
        ran.append(args)

    any_add: Any = add
    last = note.message_with_options(args=("alone",), pipe_ignore=True)
    async with running(broker):
        pipe = dramatiq.pipeline([any_add.message(1, 2), last], broker=broker)
        await asyncio.to_thread(pipe.run)
        await until_done(broker.store(), "default", 2)
    assert ran == [("alone",)]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_the_callbacks_of_a_group_run_when_all_of_it_has(kind: str) -> None:
    broker, ran = broker_on(), list[str]()
    broker.add_middleware(GroupCallbacks(stub_backend()))

    async def work_async(name: str) -> None:
        ran.append(name)

    def work_sync(name: str) -> None:
        ran.append(name)

    work: Any = dramatiq.actor(broker=broker, actor_name="work")(
        work_async if kind == "async" else work_sync
    )

    @dramatiq.actor(broker=broker)
    def done() -> None:
        ran.append("done")

    make_group: Any = dramatiq.group
    group = make_group([work.message(name) for name in "abc"], broker=broker)
    group.add_completion_callback(done.message())
    async with running(broker):
        await asyncio.to_thread(group.run)
        await until_done(broker.store(), "default", 4)
    assert sorted(ran[:3]) == ["a", "b", "c"]
    assert ran[3:] == ["done"]


async def test_an_actor_older_than_dramatiqs_age_limit_allows_does_not_run() -> None:
    store = MemoryLaneStore()
    broker = broker_on(store, middleware=[AgeLimit(max_age=1)])

    @dramatiq.actor(broker=broker)
    def work() -> None:
        raise AssertionError

    old = dramatiq.Message[None](
        queue_name="default",
        actor_name="work",
        args=(),
        kwargs={},
        options={},
        message_timestamp=1_700_000_000_000,
    )
    async with running(broker):
        await broker.aenqueue(old)
        await until_done(store, "default", 1)


@pytest.mark.parametrize("kind", [BucketRateLimiter, ConcurrentRateLimiter, WindowRateLimiter])
async def test_dramatiqs_rate_limiters_hold_back_actors_of_ours(kind: Any) -> None:
    limiter = kind(stub_backend(), "key", limit=2)
    broker, outcomes = broker_on(), list[str]()
    both = threading.Barrier(2)

    @octoqueue.actor(broker=broker, max_retries=0)
    def work(place: int) -> None:
        try:
            with limiter.acquire():
                outcomes.append("ran")
                both.wait(10)
                third_is_over.wait(10)
        except dramatiq.RateLimitExceeded:
            outcomes.append("held back")

    third_is_over = threading.Event()
    async with running(broker):
        for place in range(2):
            await work.asend(place)
        await until(lambda: outcomes == ["ran", "ran"])
        await work.asend(2)
        await until_done(broker.store(), "default", 1)
        third_is_over.set()
        await until_done(broker.store(), "default", 3)
    assert outcomes == ["ran", "ran", "held back"]


async def test_a_barrier_lets_one_of_several_messages_through() -> None:
    kind: Any = Barrier
    barrier = kind(stub_backend(), "barrier", ttl=60_000)
    barrier.create(3)
    broker, last = broker_on(), list[int]()

    @octoqueue.actor(broker=broker)
    def work(number: int) -> None:
        if barrier.wait(block=False):
            last.append(number)

    async with running(broker):
        for number in range(3):
            await work.asend(number)
        await until_done(broker.store(), "default", 3)
    assert len(last) == 1
