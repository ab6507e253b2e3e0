"""Cancelling messages that run: how actors are stopped, and what counts of what they do then."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dramatiq
import pytest

import octoqueue
from octoqueue.broker.interrupts import ThreadInterrupt
from octoqueue.errors import ActorFailed, InvalidMessage, StoreError
from octoqueue.lanes.answers import CancelOutcome
from octoqueue.lanes.finding import Cause, State
from octoqueue.lanes.options import LaneOptions
from octoqueue.primitives.messages import Outcome
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.running import SHORTLY, Gate, WatchedStore, broker_on, running, until, until_done

if TYPE_CHECKING:
    from octoqueue.primitives.messages import Settlement

MINUTE = timedelta(minutes=1)


def settlements(store: WatchedStore) -> list[Settlement]:
    return [s for _, kwargs in store.called("commit") for s in kwargs["settlements"]]


async def counted(store: WatchedStore, counter: str) -> None:
    async def counts() -> bool:
        return bool((await store.stats("default")).counters.get(counter, 0))

    await until(counts)


class Loop:
    """An actor that runs until it is stopped, in a thread or on the loop."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.raised: list[BaseException] = []
        self.cleaned_up = threading.Event()

    async def on_loop(self) -> None:
        """Wait for ever."""
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            self.raised.append(error)
            raise
        finally:
            self.cleaned_up.set()

    def in_thread(self) -> None:
        """Turn for ever."""
        self.entered.set()
        try:
            while True:
                threading.Event().wait(0.001)
        except BaseException as error:
            self.raised.append(error)
            raise
        finally:
            self.cleaned_up.set()


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_running_actor_is_stopped_and_its_finally_blocks_run(kind: str) -> None:
    store, loop = WatchedStore(), Loop()
    broker = broker_on(store)
    work: Any = octoqueue.actor(broker=broker, name="work", results=True)(
        loop.on_loop if kind == "async" else loop.in_thread
    )
    async with running(broker):
        handle = await work.asend()
        await until(loop.entered.is_set)
        assert await handle.acancel("the user left") is CancelOutcome.STOPPING
        with pytest.raises(ActorFailed) as failed:
            await handle.result(timeout=SHORTLY)
        await counted(store, "cancelled")
    assert (failed.value.error, failed.value.detail) == ("Cancelled", "the user left")
    assert loop.cleaned_up.is_set()
    expected = asyncio.CancelledError if kind == "async" else ThreadInterrupt
    assert isinstance(loop.raised[0], expected)
    assert [s.outcome for s in settlements(store)] == [Outcome.CANCEL]


async def test_an_actor_that_raises_something_else_then_is_cancelled_all_the_same() -> None:
    store, gate = WatchedStore(), Gate()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, queue="other")
    async def other() -> None: ...

    @octoqueue.actor(broker=broker, max_retries=5)
    async def work() -> None:
        await other.asend()
        try:
            await gate.pass_through()
        except asyncio.CancelledError:
            raise octoqueue.Retry from None

    async with running(broker):
        handle = await work.asend()
        await gate.entered.wait()
        await handle.acancel()
        await counted(store, "cancelled")
    (settlement,) = settlements(store)
    assert (settlement.outcome, settlement.follow_ups) == (Outcome.CANCEL, ())
    assert not (await store.stats("default")).delayed


async def test_an_actor_that_swallows_the_cancellation_and_returns_is_acked() -> None:
    store, gate = WatchedStore(), Gate()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, results=True)
    async def work() -> str:
        try:
            await gate.pass_through()
        except asyncio.CancelledError:
            return "saved what there was"
        return "whole"

    async with running(broker):
        handle = await work.asend()
        await gate.entered.wait()
        await handle.acancel()
        assert await handle.result(timeout=SHORTLY) == "saved what there was"
        stats = await until_done(store, "default", 1)
    assert (stats.counters["acked"], stats.counters.get("cancelled", 0)) == (1, 0)


async def test_a_message_that_waits_for_a_thread_is_never_begun() -> None:
    store, loop, ran = WatchedStore(), Loop(), list[str]()
    broker = broker_on(store)
    first: Any = octoqueue.actor(broker=broker, name="first")(loop.in_thread)

    @octoqueue.actor(broker=broker)
    def second() -> None:
        ran.append("second")

    async with running(broker, threads=1):
        blocking = await first.asend()
        await until(loop.entered.is_set)
        handle = await second.asend()
        await until(lambda: _in_flight(store, 2))
        await handle.acancel()
        await blocking.acancel()
        await until(lambda: len(settlements(store)) == 2)
    assert ran == []
    assert {s.outcome for s in settlements(store)} == {Outcome.CANCEL}


async def _in_flight(store: WatchedStore, count: int) -> bool:
    return bool((await store.stats("default")).in_flight == count)


async def test_a_waiting_message_is_removed_and_never_starts() -> None:
    store, ran = WatchedStore(), list[int]()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, results=True)
    async def work(number: int) -> None:
        ran.append(number)

    waiting, delayed, kept = (
        await work.asend(1),
        await work.using(delay=MINUTE).asend(2),
        await work.asend(3),
    )
    assert await waiting.acancel("no more") is CancelOutcome.REMOVED
    assert await broker.acancel(delayed.message_id) is CancelOutcome.REMOVED
    async with running(broker):
        await kept.result(timeout=SHORTLY)
        with pytest.raises(ActorFailed, match="no more"):
            await waiting.result(timeout=SHORTLY)
    assert ran == [3]
    assert (await store.stats("default")).delayed == 0


async def test_a_cancel_that_nobody_heard_is_found_at_the_next_beat() -> None:
    store = WatchedStore(MemoryLaneStore(LaneOptions(lease=timedelta(seconds=1))))
    broker, loop = broker_on(store), Loop()
    work: Any = octoqueue.actor(broker=broker, name="work")(loop.on_loop)
    never = asyncio.Event()

    async def deaf() -> None:
        async with asyncio.timeout(0.25):
            await never.wait()

    store.before["wait_for_cancel"] = _or_false(deaf)
    async with running(broker):
        handle = await work.asend()
        await until(loop.entered.is_set)
        await handle.acancel("unheard")
        await until(loop.cleaned_up.is_set)
    assert [s.outcome for s in settlements(store)] == [Outcome.CANCEL]


def _or_false(wait: Any) -> Any:  # noqa: ANN401 - a hook
    async def hook() -> None:
        try:
            await wait()
        except TimeoutError:
            return

    return hook


async def test_a_store_that_fails_does_not_end_the_listening() -> None:
    store, loop = WatchedStore(), Loop()
    broker = broker_on(store)
    work: Any = octoqueue.actor(broker=broker, name="work")(loop.on_loop)
    store.fail("wait_for_cancel", StoreError("gone"), LookupError("a bug"))
    async with running(broker):
        handle = await work.asend()
        await until(loop.entered.is_set)
        await until(lambda: len(store.called("wait_for_cancel")) > 2)
        await handle.acancel()
        await until(loop.cleaned_up.is_set)


async def test_a_running_actor_takes_back_what_it_has_sent() -> None:
    store, said = WatchedStore(), list[CancelOutcome]()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, queue="other")
    async def other() -> None: ...

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        first, second = await other.asend(), await other.asend()
        said.append(await first.acancel())
        said.append(second.cancel())

    async with running(broker):
        await work.asend()
        await until_done(store, "default", 1)
    assert said == [CancelOutcome.REMOVED] * 2
    assert (await store.stats("other")).waiting == 0


async def test_an_actor_may_cancel_its_own_message() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        message = octoqueue.current_message()
        assert message is not None
        await broker.acancel(message.message_id, "by itself")
        await asyncio.Event().wait()

    async with running(broker):
        await work.asend()
        await counted(store, "cancelled")


async def test_the_blocking_verbs_do_the_same() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    def administer() -> None:
        handle = work.send()
        broker.pause("default")
        assert broker.explain(handle.message_id).causes[0] is Cause.PAUSED
        broker.resume("default")
        assert broker.find(handle.message_id).state is State.WAITING
        assert broker.move(handle.message_id, "low").lane is octoqueue.Lane.LOW
        assert handle.cancel("enough") is CancelOutcome.REMOVED
        assert broker.cancel(handle.message_id) is not CancelOutcome.STOPPING
        broker.close()

    await asyncio.to_thread(administer)
    assert (await store.stats("default")).waiting == 0


async def test_what_was_never_sent_cannot_be_cancelled() -> None:
    broker = broker_on(WatchedStore())

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    with pytest.raises(InvalidMessage, match="was built here but not sent"):
        await work.message().acancel()
    with pytest.raises(InvalidMessage, match="message_id"):
        await broker.acancel("not-an-id")
    unknown = work.message().message_id
    assert await broker.acancel(unknown) is CancelOutcome.UNKNOWN


async def test_one_message_of_a_batch_is_cancelled_without_the_others() -> None:
    store, gate, seen = WatchedStore(), Gate(), list[list[int]]()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, batch=octoqueue.Batch(max_size=2))
    async def work(numbers: list[int]) -> None:
        seen.append(numbers)
        await gate.pass_through()

    async with running(broker):
        handles = await octoqueue.asend_many([work.message(1), work.message(2)], broker=broker)
        await gate.entered.wait()
        await handles[0].acancel()
        await until(lambda: "cancelled" in [name for name, *_ in store.calls])
        gate.opened.set()
        await until(lambda: len(settlements(store)) + _acks(store) == 2)
    assert seen == [[1, 2]]
    counters = (await store.stats("default")).counters
    assert (counters["acked"], counters["cancelled"]) == (1, 1)


def _acks(store: WatchedStore) -> int:
    return sum(len(kwargs.get("acks", ())) for _, kwargs in store.called("commit"))


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_dramatiqs_hooks_are_told_of_the_cancellation(kind: str) -> None:
    store, loop, told = WatchedStore(), Loop(), list[str]()

    class Listening(dramatiq.Middleware):
        def after_process_message(
            self,
            broker: object,
            message: object,
            *,
            result: object = None,
            exception: BaseException | None = None,
        ) -> None:
            told.append(type(exception).__name__)

        def after_ack(self, broker: object, message: object) -> None:
            told.append("ack")

        def after_nack(self, broker: object, message: object) -> None:
            told.append("nack")

    broker = broker_on(store, middleware=[Listening()])
    work: Any = octoqueue.actor(broker=broker, name="work")(
        loop.on_loop if kind == "async" else loop.in_thread
    )
    async with running(broker):
        handle = await work.asend()
        await until(loop.entered.is_set)
        await handle.acancel()
        await counted(store, "cancelled")
    assert told == ["Cancelled", "ack"]
    assert loop.cleaned_up.is_set()
