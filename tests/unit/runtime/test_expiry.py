"""Messages that come too late: not begun after they expire, stopped at their deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

import octoqueue
from octoqueue.errors import ActorFailed
from octoqueue.primitives.messages import Outcome
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.running import (
    SHORTLY,
    Gate,
    WatchedStore,
    broker_on,
    reason_of_death,
    running,
    until,
)

if TYPE_CHECKING:
    from octoqueue.primitives.messages import Settlement

MINUTE = timedelta(minutes=1)
AT_ONCE = timedelta(0)


def settlements(store: WatchedStore) -> list[Settlement]:
    return [s for _, kwargs in store.called("commit") for s in kwargs["settlements"]]


async def counters_when(store: WatchedStore, counter: str) -> dict[str, int]:
    """The counters of the default queue once one of them has begun to count."""

    async def counts() -> bool:
        return bool((await store.stats("default")).counters.get(counter, 0))

    await until(counts)
    return dict((await store.stats("default")).counters)


def soon(milliseconds: int) -> datetime:
    return datetime.now(UTC) + timedelta(milliseconds=milliseconds)


async def is_past(moment: datetime) -> None:
    await until(lambda: datetime.now(UTC) > moment)


@pytest.mark.parametrize("whose", ["message", "actor"])
async def test_a_message_that_expired_before_it_was_begun_is_dropped(whose: str) -> None:
    store, told = WatchedStore(), list[dict[str, Any]]()
    broker = broker_on(store)
    own: dict[str, Any] = {"expires": timedelta(milliseconds=20)} if whose == "actor" else {}

    async def run() -> None:
        told.append({"work": "ran"})

    declare: Any = octoqueue.actor
    work: Any = declare(broker=broker, results=True, on_dead_letter="bury", **own)(run)

    @octoqueue.actor(broker=broker)
    async def bury(**facts: Any) -> None:  # noqa: ANN401 - whatever it is told
        told.append(facts)

    sending = work if own else work.using(expires=timedelta(milliseconds=20))
    handle = await sending.asend()
    await is_past(soon(20))
    async with running(broker):
        with pytest.raises(ActorFailed, match="not started in time") as failed:
            await handle.result(timeout=SHORTLY)
        counters = await counters_when(store, "expired")
    assert failed.value.error == "MessageExpired"
    assert told == []
    assert (counters["expired"], counters.get("dead", 0), counters.get("acked", 0)) == (1, 0, 0)


async def test_a_message_begun_in_time_runs_on_after_it_expired() -> None:
    broker, gate = broker_on(WatchedStore()), Gate()

    @octoqueue.actor(broker=broker, results=True)
    async def work() -> str:
        await gate.pass_through()
        return "done"

    moment = soon(1_500)
    async with running(broker):
        handle = await work.using(expires=moment).asend()
        await gate.entered.wait()
        await is_past(moment)
        gate.opened.set()
        assert await handle.result(timeout=SHORTLY) == "done"


async def test_a_message_whose_deadline_is_over_is_not_begun() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, results=True)
    async def work() -> None: ...

    moment = soon(20)
    handle = await work.using(deadline=moment).asend()
    await is_past(moment)
    async with running(broker):
        with pytest.raises(ActorFailed) as failed:
            await handle.result(timeout=SHORTLY)
        await counters_when(store, "expired")
    assert failed.value.error == "DeadlineExceeded"


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_an_attempt_is_stopped_at_its_deadline_and_not_tried_again(kind: str) -> None:
    store, ended = WatchedStore(), list[str]()
    broker = broker_on(store)

    async def wait_async() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    def wait_sync() -> None:
        try:
            while True:
                threading.Event().wait(0.001)
        finally:
            ended.append("cleaned up")

    work: Any = octoqueue.actor(broker=broker, name="work", max_retries=9)(
        wait_async if kind == "async" else wait_sync
    )
    async with running(broker):
        await work.using(deadline=soon(1_000)).asend()
        reason = await reason_of_death(store, "default")
    assert reason["error"] == "DeadlineExceeded"
    assert ended == ["cleaned up"]
    assert [s.outcome for s in settlements(store)] == [Outcome.DEAD_LETTER]


async def test_the_time_limit_still_ends_what_has_a_later_deadline() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, max_retries=0, time_limit=timedelta(milliseconds=50))
    async def work() -> None:
        await asyncio.Event().wait()

    async with running(broker):
        await work.using(deadline=datetime.now(UTC) + MINUTE).asend()
        reason = await reason_of_death(store, "default")
    assert reason["error"] == "TimeLimitExceeded"


async def test_a_retry_that_would_come_too_late_is_a_dead_letter_of_its_own_error() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, min_backoff=10 * MINUTE, max_backoff=10 * MINUTE)
    async def work() -> None:
        raise LookupError("the real reason")

    async with running(broker):
        await work.using(expires=MINUTE).asend()
        reason = await reason_of_death(store, "default")
    assert (reason["error"], reason["message"]) == ("LookupError", "the real reason")


async def test_a_retry_in_time_is_tried_again() -> None:
    store, attempts = WatchedStore(), list[int]()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, min_backoff=AT_ONCE)
    async def work() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError

    async with running(broker):
        await work.using(expires=MINUTE).asend()
        await until(lambda: len(attempts) == 3)
    assert [s.outcome for s in settlements(store)][:2] == [Outcome.RETRY, Outcome.RETRY]


async def test_a_moment_in_a_message_that_is_none_makes_it_a_dead_letter() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    message = work.message()
    message.options["expires_at"] = "tomorrow"
    await broker.aenqueue(message)
    async with running(broker):
        reason = await reason_of_death(store, "default")
    assert reason["error"] == "InvalidMessage"


async def test_the_actors_own_max_age_still_makes_dead_letters() -> None:
    clock = FakeClock()
    store = WatchedStore(MemoryLaneStore(clock=clock))
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, max_age=timedelta(milliseconds=1))
    async def work() -> None: ...

    message = work.message()
    await is_past(soon(5))
    await broker.aenqueue(message)
    async with running(broker):
        assert (await reason_of_death(store, "default"))["error"] == "MessageExpired"


async def test_a_message_of_a_batch_whose_deadline_passes_leaves_the_others_alone() -> None:
    store, gate = WatchedStore(), Gate()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, batch=octoqueue.Batch(max_size=2))
    async def work(numbers: list[int]) -> None:
        await gate.pass_through()

    moment = soon(1_000)
    async with running(broker):
        await octoqueue.asend_many(
            [work.using(deadline=moment).message(1), work.message(2)], broker=broker
        )
        await gate.entered.wait()
        await is_past(moment + timedelta(milliseconds=20))
        gate.opened.set()
        reason = await reason_of_death(store, "default")
        await counters_when(store, "acked")
    assert reason["error"] == "DeadlineExceeded"


async def test_an_expired_message_never_joins_a_batch() -> None:
    store, seen = WatchedStore(), list[list[int]]()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, batch=octoqueue.Batch(max_size=9, max_wait=AT_ONCE))
    async def work(numbers: list[int]) -> None:
        seen.append(numbers)

    moment = soon(20)
    await octoqueue.asend_many(
        [work.using(expires=moment).message(1), work.message(2)], broker=broker
    )
    await is_past(moment)
    async with running(broker):
        await counters_when(store, "acked")
    assert seen == [[2]]


async def test_a_message_whose_deadline_passes_before_a_thread_is_free_is_never_begun() -> None:
    store, begun, free = WatchedStore(), list[int](), threading.Event()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    def work(number: int) -> None:
        begun.append(number)
        free.wait(15)

    moment = soon(150)
    async with running(broker, threads=1):
        await work.asend(1)
        await until(lambda: begun)
        await work.using(deadline=moment).asend(2)
        await is_past(moment + timedelta(milliseconds=20))
        free.set()
        counters = await counters_when(store, "expired")
    assert begun == [1]
    assert counters.get("dead", 0) == 0


def test_a_deadline_that_passes_before_the_first_instruction_leaves_no_message_behind() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        await asyncio.sleep(60)

    async def run() -> None:
        async with broker.connected(), running(broker, on_work=lambda: time.sleep(0.3)):
            await work.using(deadline=soon(200)).asend()
            await until(lambda: _is_over(store))

    # Its timers come before what is ready, so a task may be stopped before it has begun.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def _is_over(store: WatchedStore) -> bool:
    stats = await store.stats("default")
    return not (stats.waiting or stats.in_flight) and bool(stats.counters.get("claimed"))
