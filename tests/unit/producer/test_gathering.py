"""Results of many messages, and errors that come back with their types."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

import octoqueue
from octoqueue.errors import (
    ActorFailed,
    Cancelled,
    LaneFull,
    OctoqueueError,
    PoisonMessage,
    ResultNotKept,
    ResultTimeout,
)
from tests.running import MOMENT, SHORTLY, broker_on, running


class NoSuchPage(LookupError):
    """An error of the program's own."""


async def test_results_come_in_the_order_of_the_handles() -> None:
    broker = broker_on()
    turns = [asyncio.Event() for _ in range(10)]

    @octoqueue.actor(broker=broker, results=True)
    async def backwards(number: int) -> int:
        await turns[number].wait()
        if number:
            turns[number - 1].set()
        return number

    async with broker.connected(), running(broker):
        handles = await octoqueue.asend_many(
            [backwards.message(number) for number in range(10)], broker=broker
        )
        turns[9].set()
        assert await octoqueue.gather(*handles, timeout=SHORTLY) == tuple(range(10))
        assert await octoqueue.gather() == ()


async def test_the_first_failure_is_raised_at_once_and_the_others_run_on() -> None:
    broker = broker_on()
    go = asyncio.Event()

    @octoqueue.actor(broker=broker, results=True, max_retries=0)
    async def fails() -> None:
        raise NoSuchPage("7")

    @octoqueue.actor(broker=broker, results=True)
    async def waits() -> str:
        await go.wait()
        return "done"

    async with broker.connected(), running(broker):
        slow, failing = await waits.asend(), await fails.asend()
        with pytest.raises(ActorFailed, match="NoSuchPage: 7") as failed:
            await octoqueue.gather(slow, failing, timeout=SHORTLY)
        go.set()
        answers = await octoqueue.gather(slow, failing, timeout=SHORTLY, return_exceptions=True)
        assert answers[0] == "done"
        assert isinstance(answers[1], ActorFailed)
    assert failed.value.message_id == failing.message_id
    assert "raise NoSuchPage" in failed.value.trace


async def test_a_result_that_does_not_come_in_time_is_named() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, results=True)
    async def nobody() -> None: ...

    @octoqueue.actor(broker=broker)
    async def silent() -> None: ...

    async with broker.connected():
        first, second = await nobody.asend(), await silent.asend()
        with pytest.raises(ResultTimeout) as late:
            await octoqueue.gather(first, first, timeout=MOMENT)
        with pytest.raises(ResultNotKept, match="results=True"):
            await octoqueue.gather(first, second, timeout=timedelta(seconds=60))
    assert late.value.message_id == first.message_id


async def test_who_asks_may_ask_for_a_class_of_errors() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, results=True, max_retries=0)
    async def fails(which: str) -> None:
        raise LaneFull("a", "high", depth=1, bound=1) if which == "ours" else NoSuchPage(which)

    async with broker.connected(), running(broker):
        handles = [await fails.asend(which) for which in ("ours", "own")]
        ours, own = await octoqueue.gather(*handles, timeout=SHORTLY, return_exceptions=True)
    assert isinstance(ours, ActorFailed)
    assert isinstance(own, ActorFailed)
    assert [ours.is_a(each) for each in (LaneFull, OctoqueueError, LookupError)] == [1, 1, 0]
    assert [own.is_a(each) for each in (NoSuchPage, LookupError, KeyError)] == [1, 1, 0]
    assert own.types[0].endswith("NoSuchPage")


def test_an_error_without_its_types_is_known_by_its_name() -> None:
    poisoned = ActorFailed(message_id="1", error="PoisonMessage", detail="")
    assert poisoned.is_a(PoisonMessage)
    assert not poisoned.is_a(Cancelled)
    assert not ActorFailed(message_id="1", error="KeyError", detail="").is_a(KeyError)
