"""Time limits: they really end what runs too long, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import octoqueue
from octoqueue.errors import ActorFailed
from octoqueue.runtime import deadlines
from tests.running import SHORTLY, broker_on, reason_of_death, running, until, until_done

if TYPE_CHECKING:
    from octoqueue.broker.handles import MessageHandle

LIMIT = timedelta(milliseconds=50)
HOUR_SECONDS = 3600


async def failure(handle: MessageHandle[Any]) -> str:
    with pytest.raises(ActorFailed) as caught:
        await handle.result(timeout=SHORTLY)
    return caught.value.error


async def test_an_async_actor_is_cancelled_when_its_time_is_over() -> None:
    broker, cleaned = broker_on(), list[int]()

    @octoqueue.actor(broker=broker, results=True, max_retries=0, time_limit=LIMIT)
    async def sleep() -> None:
        try:
            await asyncio.sleep(HOUR_SECONDS)
        finally:
            cleaned.append(1)

    async with running(broker):
        assert await failure(await sleep.asend()) == "TimeLimitExceeded"
    assert cleaned == [1]


async def test_an_actor_that_swallows_its_cancellation_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadlines, "ASK_AGAIN_SECONDS", 0.05)
    broker, swallowed = broker_on(), list[int]()

    @octoqueue.actor(broker=broker, results=True, max_retries=0, time_limit=LIMIT)
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(HOUR_SECONDS)
        swallowed.append(1)
        await asyncio.sleep(HOUR_SECONDS)

    async with running(broker):
        assert await failure(await stubborn.asend()) == "TimeLimitExceeded"
    assert swallowed == [1]


async def test_a_sync_actor_is_interrupted_when_its_time_is_over() -> None:
    broker, swallowed = broker_on(), list[str]()

    @octoqueue.actor(broker=broker, results=True, max_retries=0, time_limit=LIMIT)
    def spin() -> None:
        while True:
            try:
                time.sleep(0.001)
            except Exception:  # noqa: BLE001 - an interrupt is no Exception
                swallowed.append("caught")

    async with running(broker):
        assert await failure(await spin.asend()) == "TimeLimitExceeded"
    assert swallowed == []


async def test_an_interrupt_never_hits_another_message_in_the_same_thread() -> None:
    """Actors that end in the very moment of their limit, followed by others in their threads."""
    broker, innocent = broker_on(), list[int]()

    @octoqueue.actor(broker=broker, max_retries=0, time_limit=timedelta(milliseconds=8))
    def tight(number: int) -> None:
        end = time.perf_counter() + 0.006 + (number % 5) * 0.001
        while time.perf_counter() < end:
            pass

    @octoqueue.actor(broker=broker, max_retries=0)
    def other(number: int) -> None:
        for _ in range(2_000):
            pass
        innocent.append(number)

    messages: list[Any] = []
    for number in range(60):
        messages += [tight.message(number), other.message(number)]
    async with running(broker, concurrency=2):
        await octoqueue.asend_many(messages, broker=broker)
        await until_done(broker.store(), "default", 120)
        letters = await broker.store().dead_letters("default", limit=200)
    assert sorted(innocent) == list(range(60))
    assert all(b'"actor":"tight"' in letter.reason for letter in letters)


async def test_an_actor_that_ends_in_time_after_all_is_not_failed() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, results=True, time_limit=LIMIT)
    async def saved() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(HOUR_SECONDS)
        return "saved"

    async with running(broker):
        assert await (await saved.asend()).result(timeout=SHORTLY) == "saved"


async def test_the_time_an_actor_waits_for_a_thread_is_not_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadlines, "ASK_AGAIN_SECONDS", 0.05)
    broker, ran = broker_on(), list[str]()
    release = threading.Event()

    @octoqueue.actor(broker=broker)
    def occupy() -> None:
        release.wait()

    @octoqueue.actor(broker=broker, max_retries=0, time_limit=timedelta(milliseconds=150))
    def wait() -> None:
        ran.append("ran")

    async with running(broker, threads=1, concurrency=2):
        await occupy.asend()
        await wait.asend()
        await asyncio.sleep(0.3)
        release.set()
        stats = await until_done(broker.store(), "default", 2)
    assert ran == ["ran"]
    assert stats.dead == 0


async def test_what_an_actor_computes_before_it_first_waits_is_its_own_time() -> None:
    broker, waited_seconds = broker_on(), list[float]()

    @octoqueue.actor(broker=broker, time_limit=timedelta(seconds=1))
    async def compute() -> None:
        until = time.monotonic() + 0.9
        while time.monotonic() < until:
            pass
        try:
            await asyncio.sleep(HOUR_SECONDS)
        except asyncio.CancelledError:
            waited_seconds.append(time.monotonic() - until)

    async with running(broker):
        await compute.asend()
        await until_done(broker.store(), "default", 1)
    assert waited_seconds[0] < 0.9


async def test_an_actor_without_a_limit_is_never_told() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, results=True, time_limit=timedelta.max)
    async def quick() -> int:
        return 1

    async with running(broker):
        assert await (await quick.asend()).result(timeout=SHORTLY) == 1


async def test_a_cancellation_of_its_own_making_fails_an_actor_like_any_error() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, max_retries=0)
    async def cancelled() -> None:
        raise asyncio.CancelledError

    async with running(broker):
        await cancelled.asend()
        assert (await reason_of_death(broker.store(), "default"))["error"] == "CancelledError"


async def test_an_expired_actor_is_logged_with_its_limit(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    broker = broker_on()

    @octoqueue.actor(broker=broker, max_retries=0, time_limit=LIMIT)
    async def sleep() -> None:
        await asyncio.sleep(HOUR_SECONDS)

    async with running(broker):
        handle = await sleep.asend()
        await until(lambda: "time_limit_exceeded" in caplog.messages)
    (record,) = [r for r in caplog.records if r.message == "time_limit_exceeded"]
    fields: Any = record
    assert (fields.actor, fields.message_id, fields.limit_seconds) == (
        "sleep",
        handle.message_id,
        0.05,
    )
