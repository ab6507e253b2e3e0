# ruff: noqa: ANN401 - hooks take what dramatiq passes
"""Batch actors in a worker: what is called together, and what becomes of each message."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from dramatiq.middleware import Middleware, SkipMessage

import octoqueue
from octoqueue.errors import ActorFailed, DeclarationError, InvalidMessage, ResultError
from octoqueue.primitives.envelope import decode_body, unpack_header
from octoqueue.primitives.ids import id_from_text
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Outcome
from octoqueue.routing.partitions import PartitionMap
from octoqueue.runtime import deadlines
from tests.running import (
    SHORTLY,
    WatchedStore,
    broker_on,
    gone,
    reason_of_death,
    running,
    until,
    until_done,
)

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy

    from octoqueue.broker.handles import MessageHandle
    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.primitives.messages import Settlement

NEVER = timedelta(hours=1)
SOON = timedelta(milliseconds=20)
TEN = octoqueue.Batch(max_size=10, max_wait=NEVER)
THREE = octoqueue.Batch(max_size=3, max_wait=NEVER)


partition_of = PartitionMap(10).of_id


class Calls(list[list[int]]):
    """What a batch actor was called with."""

    def actor(self, broker: LaneBroker, **options: Any) -> Any:
        """Declare an actor that writes down its lists."""
        options.setdefault("batch", THREE)

        async def note(numbers: list[int]) -> None:
            self.append(numbers)

        decorate: Any = octoqueue.actor(broker=broker, **options)
        return decorate(note)


async def send(actor: Any, *numbers: int) -> list[MessageHandle[Any]]:
    return await octoqueue.asend_many([actor.message(n) for n in numbers], broker=actor.broker)


def settlements(store: WatchedStore) -> list[Settlement]:
    return [s for _, kwargs in store.called("commit") for s in kwargs["settlements"]]


# ── collecting ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_messages_are_called_together_in_the_order_they_were_claimed(kind: str) -> None:
    broker, calls, threads = broker_on(), Calls(), set[int]()

    def work(numbers: list[int]) -> None:
        threads.add(threading.get_ident())
        calls.append(numbers)

    async def awork(numbers: list[int]) -> None:
        work(numbers)

    function: Any = work if kind == "sync" else awork
    actor = octoqueue.actor(broker=broker, name="work", batch=THREE)(function)
    await send(actor, *range(6))
    async with running(broker):
        await until_done(broker.store(), "default", 6)
    assert sorted(calls) == [[0, 1, 2], [3, 4, 5]]
    assert (threading.get_ident() in threads) == (kind == "async")


async def test_a_batch_that_does_not_fill_runs_when_its_first_message_has_waited() -> None:
    broker, calls = broker_on(), Calls()
    actor = calls.actor(broker, batch=octoqueue.Batch(max_size=10, max_wait=SOON))
    async with running(broker):
        await send(actor, 1, 2)
        await until_done(broker.store(), "default", 2)
    assert calls == [[1, 2]]


async def test_without_a_wait_a_batch_is_what_was_claimed_together() -> None:
    broker, calls = broker_on(), Calls()
    actor = calls.actor(broker, batch=octoqueue.Batch(max_size=10, max_wait=timedelta(0)))
    await send(actor, *range(4))
    async with running(broker):
        await until_done(broker.store(), "default", 4)
    assert calls == [[0, 1, 2, 3]]


async def test_a_batch_runs_when_the_worker_has_no_slot_left() -> None:
    broker, calls = broker_on(), Calls()
    actor = calls.actor(broker, batch=TEN)
    async with running(broker, concurrency=4):
        await send(actor, *range(8))
        await until_done(broker.store(), "default", 8)
    assert [len(numbers) for numbers in calls] == [4, 4]


async def test_a_stopping_worker_runs_what_it_has_collected() -> None:
    broker, calls = broker_on(), Calls()
    actor = calls.actor(broker, batch=TEN)
    async with running(broker) as worker:
        await send(actor, 1, 2)

        async def both_leased() -> bool:
            return (await broker.store().stats("default")).in_flight == 2

        await until(both_leased)
        assert calls == []
        worker.stop()
        stats = await until_done(broker.store(), "default", 2)
    assert calls == [[1, 2]]
    assert (stats.counters["acked"], stats.counters.get("released", 0)) == (2, 0)


async def test_messages_of_different_queues_or_actors_never_mix() -> None:
    broker, calls = broker_on(), Calls()
    first = calls.actor(broker, name="first", queue="a")
    second = calls.actor(broker, name="second", queue="a")
    elsewhere = [m.copy(queue_name="b") for m in (first.message(100), first.message(101))]
    await send(first, 1, 2)
    await send(second, 10, 11)
    for message in elsewhere:
        await broker.aenqueue(message)
    async with running(broker, "a", "b") as worker:
        await until(lambda: worker._claimer.free == 94)
        worker.stop()
        await until(lambda: len(calls) == 3)
    assert sorted(calls) == [[1, 2], [10, 11], [100, 101]]


async def test_lanes_collect_together_and_high_comes_first() -> None:
    broker, calls = broker_on(), Calls()
    actor = calls.actor(broker)
    for number, lane in enumerate(("low", "normal", "high")):
        await actor.using(lane=lane).asend(number)
    async with running(broker):
        await until_done(broker.store(), "default", 3)
    assert calls == [[2, 1, 0]]


# ── what becomes of each message ─────────────────────────────────────────────────────────────────


async def test_each_message_has_its_own_result() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, batch=THREE, results=True)
    async def double(numbers: list[int]) -> list[int]:
        return [2 * number for number in numbers]

    async with running(broker):
        handles = await octoqueue.asend_many([double.message(n) for n in range(3)], broker=broker)
        assert [await handle.result(timeout=SHORTLY) for handle in handles] == [0, 2, 4]


async def test_an_exception_in_the_list_is_the_failure_of_that_message_alone() -> None:
    store = WatchedStore()
    broker = broker_on(store)
    four = octoqueue.Batch(max_size=4, max_wait=NEVER)

    @octoqueue.actor(broker=broker, batch=four, results=True, throws=KeyError)
    async def pick(numbers: list[int]) -> list[Any]:
        endings = [
            "fine",
            KeyError("bad"),
            octoqueue.Retry(delay=timedelta(minutes=5)),
            octoqueue.Discard("never mind"),
        ]
        return [endings[number] for number in numbers]

    async with running(broker):
        handles = await send(pick, 0, 1, 2, 3)
        assert await handles[0].result(timeout=SHORTLY) == "fine"
        with pytest.raises(ActorFailed, match="KeyError"):
            await handles[1].result(timeout=SHORTLY)
        assert await handles[3].result(timeout=SHORTLY) is None
        await until(lambda: len(settlements(store)) == 4)
    outcomes = [settlement.outcome for settlement in settlements(store)]
    assert outcomes == [Outcome.ACK, Outcome.DEAD_LETTER, Outcome.RETRY, Outcome.ACK]
    assert settlements(store)[2].delay_ms == 300_000


async def test_when_the_actor_raises_each_message_fails_by_its_own_retry_policy() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, batch=THREE, max_retries=5)
    async def fail(numbers: list[int]) -> None:
        raise ValueError(numbers)

    stubborn = fail.message_with_options(args=(1,), max_retries=0)
    await octoqueue.asend_many([fail.message(0), stubborn, fail.message(2)], broker=broker)
    async with running(broker):
        await until(lambda: len(settlements(store)) == 3)
    outcomes = [settlement.outcome for settlement in settlements(store)]
    assert outcomes == [Outcome.RETRY, Outcome.DEAD_LETTER, Outcome.RETRY]


async def test_a_list_of_the_wrong_length_fails_all_and_drops_none() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, batch=THREE, results=True, max_retries=0)
    async def forget_one(numbers: list[int]) -> list[int]:
        return numbers[1:]

    async with running(broker):
        await send(forget_one, 1, 2, 3)
        assert (await reason_of_death(store, "default"))["error"] == "BatchAnswerInvalid"
        stats = await until_done(store, "default", 3)
    assert (stats.dead, stats.counters.get("acked", 0)) == (3, 0)


async def test_a_result_without_a_json_form_is_the_end_of_its_message_alone() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, batch=octoqueue.Batch(max_size=2), results=True)
    async def odd(numbers: list[int]) -> list[Any]:
        return [object(), numbers[1]]

    async with running(broker):
        first, second = await send(odd, 1, 2)
        assert await second.result(timeout=SHORTLY) == 2
        with pytest.raises(ActorFailed, match="PayloadNotSerializable"):
            await first.result(timeout=SHORTLY)


@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_whatever_a_thread_raises_fails_its_batch_and_not_the_worker(
    error: type[BaseException],
) -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, batch=octoqueue.Batch(max_size=2), max_retries=0)
    def fail(numbers: list[int]) -> None:
        raise error(*numbers)

    async with running(broker):
        await send(fail, 1, 2)
        stats = await until_done(broker.store(), "default", 2)
    assert stats.dead == 2


async def test_a_poisoned_message_does_not_join() -> None:
    store = WatchedStore()
    broker, calls = broker_on(store), Calls()
    actor = calls.actor(broker, batch=octoqueue.Batch(max_size=2, max_wait=NEVER))
    poison = actor.message(0)
    (envelope,) = broker._enveloper.prepared([poison], 0)
    lost = envelope.payload[:4] + (5).to_bytes(2) + envelope.payload[6:]
    await store.lanes.enqueue([[type(envelope)(queue="default", lane=Lane.HIGH, payload=lost)]])
    await send(actor, 1, 2)
    async with running(broker):
        await until_done(store, "default", 3)
    assert calls == [[1, 2]]
    assert (await reason_of_death(store, "default"))["error"] == "PoisonMessage"


# ── context and follow-ups ───────────────────────────────────────────────────────────────────────


async def test_inside_a_batch_its_messages_are_known() -> None:
    broker, seen = broker_on(), list[tuple[str | None, list[str]]]()

    @octoqueue.actor(broker=broker, batch=THREE)
    async def look(numbers: list[int]) -> None:
        message = octoqueue.current_message()
        ids = [context.message_id for context in octoqueue.current_batch()]
        seen.append((message.message_id if message else None, ids))

    async with running(broker):
        handles = await send(look, 1, 2, 3)
        await until_done(broker.store(), "default", 3)
    ids = [handle.message_id for handle in handles]
    assert seen == [(ids[0], ids)]
    assert octoqueue.current_batch() == ()


@pytest.mark.parametrize(
    ("failing", "carrier"), [(set[int](), 0), ({0}, 1), ({0, 1}, 2), ({0, 1, 2}, None)]
)
@pytest.mark.parametrize("spans", [True, False])
async def test_follow_ups_are_committed_with_the_first_message_that_is_acked(
    failing: set[int], carrier: int | None, *, spans: bool
) -> None:
    store = WatchedStore()
    store.inner.spans_partitions = spans  # type: ignore[misc]
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, queue="other")
    async def note(text: str) -> None: ...

    @octoqueue.actor(broker=broker, batch=THREE, max_retries=0)
    async def work(numbers: list[int]) -> list[Any]:
        handle = await note.asend("after the batch")
        sent.append(handle.message_id)
        return [ValueError(n) if n in failing else None for n in numbers]

    sent = list[str]()
    async with running(broker):
        handles = await send(work, 0, 1, 2)
        await until_done(store, "default", 3)
    carrying = {s.lease.message_id: s.follow_ups for s in settlements(store) if s.follow_ups}
    assert (await store.stats("other")).waiting == (carrier is not None)
    if carrier is not None:
        ((ident, (message,)),) = carrying.items()
        known = unpack_header(message.payload), decode_body(message.payload)
        if spans:
            assert handles[carrier].message_id.replace("-", "") == ident.hex()
        else:
            assert partition_of(message.message_id) == partition_of(ident)
        assert known[1].message_id(known[0]) == sent[0]


# ── limits, stopping, losing ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_the_time_limit_holds_for_the_call(kind: str) -> None:
    broker = broker_on()

    async def asleep(numbers: list[int]) -> None:
        await asyncio.sleep(3600 + len(numbers))

    def spin(numbers: list[int]) -> None:
        stop = threading.Event()
        while not stop.wait(0.001 * len(numbers)):
            pass

    function: Any = asleep if kind == "async" else spin
    actor = octoqueue.actor(
        broker=broker, name="slow", batch=THREE, max_retries=0, time_limit=timedelta(seconds=0.05)
    )(function)
    async with running(broker):
        await send(actor, 1, 2, 3)
        stats = await until_done(broker.store(), "default", 3)
        assert (await reason_of_death(broker.store(), "default"))["error"] == "TimeLimitExceeded"
    assert stats.dead == 3


async def test_waiting_for_others_does_not_count_against_the_time_limit() -> None:
    broker, calls = broker_on(), Calls()
    wait = octoqueue.Batch(max_size=2, max_wait=timedelta(seconds=0.2))
    actor = calls.actor(broker, batch=wait, time_limit=timedelta(seconds=0.1), max_retries=0)
    async with running(broker):
        await send(actor, 1)
        stats = await until_done(broker.store(), "default", 1)
    assert (calls, stats.dead) == ([[1]], 0)


async def test_a_batch_that_waited_for_others_is_still_stopped_on_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadlines, "ASK_AGAIN_SECONDS", 3600.0)
    broker = broker_on()
    wait = octoqueue.Batch(max_size=2, max_wait=timedelta(seconds=0.15))

    @octoqueue.actor(broker=broker, batch=wait, time_limit=timedelta(seconds=0.05), max_retries=0)
    async def asleep(numbers: list[int]) -> None:
        await asyncio.sleep(3600 + len(numbers))

    async with running(broker):
        await send(asleep, 1)
        assert (await reason_of_death(broker.store(), "default"))["error"] == "TimeLimitExceeded"


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_batch_that_outlives_the_drain_is_handed_back(kind: str) -> None:
    broker, began = broker_on(), list[int]()

    async def asleep(numbers: list[int]) -> None:
        began.append(len(numbers))
        await asyncio.sleep(3600)

    def spin(numbers: list[int]) -> None:
        began.append(len(numbers))
        stop = threading.Event()
        while not stop.wait(0.001):
            pass

    function: Any = asleep if kind == "async" else spin
    actor = octoqueue.actor(broker=broker, name="slow", batch=THREE)(function)
    async with running(broker, drain=timedelta(0)):
        await send(actor, 1, 2, 3)
        await until(lambda: bool(began))
    stats = await _stats(broker)
    assert (stats.waiting, stats.in_flight, stats.counters["released"]) == (3, 0, 3)


async def _stats(broker: LaneBroker) -> Any:
    return await (await broker.opened_store()).stats("default")


async def test_a_message_whose_lease_was_lost_leaves_the_call_running_for_the_others() -> None:
    store, gate = WatchedStore(), asyncio.Event()
    broker, cancelled = broker_on(store), list[int]()

    @octoqueue.actor(broker=broker, batch=THREE)
    async def work(numbers: list[int]) -> None:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            cancelled.append(len(numbers))
            raise

    async with running(broker) as worker:
        await send(work, 1, 2, 3)
        executor = _executor_of(worker)
        await until(lambda: len(executor.running) == 3 and executor._batching._calls)
        executor.forget(next(iter(executor.running)))
        gate.set()
        stats = await until_done(store, "default", 2)
    assert (cancelled, stats.counters["acked"]) == ([], 2)


@pytest.mark.parametrize("began", [False, True])
async def test_a_cancelled_message_leaves_its_batch_and_the_others_go_on(*, began: bool) -> None:
    store, gate = WatchedStore(), asyncio.Event()
    broker, calls = broker_on(store), Calls()

    @octoqueue.actor(broker=broker, batch=THREE, results=True)
    async def work(numbers: list[int]) -> list[int]:
        calls.append(numbers)
        await gate.wait()
        return numbers

    async with running(broker) as worker:
        handles = await send(work, 1, 2)
        executor = _executor_of(worker)
        await until(lambda: len(executor.running) == 2)
        if began:
            handles += await send(work, 3)
            await until(lambda: bool(calls))
        ident = id_from_text(handles[1].message_id)
        assert executor.cancel(ident, "not needed any more")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(gate.wait(), 0.01)
        if not began:
            handles += await send(work, 3, 4)
        gate.set()
        with pytest.raises(ResultError, match="not needed any more"):
            await handles[1].result(timeout=SHORTLY)
        others = [handle for handle in handles if handle is not handles[1]]
        results = [await handle.result(timeout=SHORTLY) for handle in others]
        assert results == ([1, 3] if began else [1, 3, 4])
    assert calls == [[1, 2, 3] if began else [1, 3, 4]]


async def test_a_call_that_is_stopped_before_its_first_instruction_ends_its_messages() -> None:
    broker = broker_on()
    actor = Calls().actor(broker)
    async with running(broker) as worker:
        executor = _executor_of(worker)
        start_all = executor._batching.start_all

        def start_and_stop() -> None:
            start_all()
            for attempt in tuple(executor.running.values()):
                attempt.released = True
                executor._interrupt(attempt)

        executor._batching.start_all = start_and_stop
        await send(actor, 1, 2)
        await until(lambda: len(executor.running) == 2)
        worker.stop()
        await until(lambda: not executor.running)
    assert (await _stats(broker)).counters["released"] == 2


def _executor_of(worker: Any) -> Any:
    import gc

    from octoqueue.runtime.executor import Executor

    (found,) = [
        one
        for one in gc.get_objects()
        if isinstance(one, Executor) and one._on_free.__self__ is worker._claimer  # type: ignore[attr-defined]
    ]
    return found


async def test_an_outage_at_the_commit_of_a_batch_costs_nothing() -> None:
    store = WatchedStore()
    broker, calls = broker_on(store), Calls()
    actor = calls.actor(broker)
    store.fail("commit", gone(), lost_answer=True)
    async with running(broker):
        await send(actor, 1, 2, 3)
        stats = await until_done(store, "default", 3)
    assert (calls, stats.counters["acked"]) == ([[1, 2, 3]], 3)


# ── hooks ────────────────────────────────────────────────────────────────────────────────────────


class Telling(Middleware):
    """Skips one message and writes down what it is told of each."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        (number,) = message.args
        self.seen.append(f"before {number}")
        if number == 2:
            raise SkipMessage

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        self.seen.append(f"skip {message.args[0]}")

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        told = type(exception).__name__ if exception else repr(result)
        self.seen.append(f"after {message.args[0]} {told}")

    def after_nack(self, broker: Broker, message: MessageProxy) -> None:
        self.seen.append(f"nack {message.args[0]}")


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_hooks_are_told_of_each_message(kind: str) -> None:
    broker, telling, calls = broker_on(), Telling(), Calls()
    broker.add_middleware(telling)

    def work(numbers: list[int]) -> list[Any]:
        calls.append(numbers)
        return ["one", ValueError("three")]

    async def awork(numbers: list[int]) -> list[Any]:
        return work(numbers)

    function: Any = work if kind == "sync" else awork
    options: Any = {"name": "work", "batch": THREE, "max_retries": 0}
    actor = octoqueue.actor(broker=broker, **options)(function)
    async with running(broker):
        await send(actor, 1, 2, 3)
        stats = await until_done(broker.store(), "default", 3)
    assert calls == [[1, 3]]
    assert telling.seen == [
        "before 1",
        "before 2",
        "skip 2",
        "before 3",
        "after 1 'one'",
        "after 3 ValueError",
        "nack 3",
    ]
    assert (stats.counters["acked"], stats.dead) == (2, 1)


# ── declaring and sending ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [10, (10, 5), {"max_size": 10}])
def test_a_batch_option_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(DeclarationError, match="an octoqueue"):
        octoqueue.actor(broker=broker_on(), batch=value)(_takes_list)  # type: ignore[call-overload]


async def _takes_list(numbers: list[int]) -> None: ...


async def _takes_none() -> None: ...


async def _takes_two(one: list[int], two: int) -> None: ...


async def _takes_named(*, numbers: list[int]) -> None: ...


@pytest.mark.parametrize("function", [_takes_none, _takes_two, _takes_named])
def test_a_batch_actor_takes_one_positional_parameter(function: Any) -> None:
    with pytest.raises(DeclarationError, match="exactly one positional parameter"):
        octoqueue.actor(broker=broker_on(), batch=TEN)(function)


async def test_a_message_carries_one_positional_argument() -> None:
    store = WatchedStore()
    broker = broker_on(store)
    actor: Any = octoqueue.actor(broker=broker, batch=TEN)(_takes_list)
    for args, kwargs in [((), {}), ((1, 2), {}), ((), {"numbers": 1}), ((1,), {"more": 2})]:
        with pytest.raises(InvalidMessage, match="exactly one positional argument"):
            await actor.asend(*args, **kwargs)
    assert not store.called("enqueue")


async def test_a_message_of_another_shape_from_another_program_is_a_dead_letter() -> None:
    broker, calls = broker_on(), Calls()
    sender = broker_on(await broker.opened_store())

    @octoqueue.actor(broker=sender, name="note")
    async def note(one: int, two: int) -> None: ...

    actor = calls.actor(broker, batch=octoqueue.Batch(max_size=2))
    await note.asend(1, 2)
    async with running(broker):
        await send(actor, 1, 2)
        await until_done(broker.store(), "default", 3)
        assert (await reason_of_death(broker.store(), "default"))["error"] == "InvalidMessage"
    assert calls == [[1, 2]]


async def test_a_direct_call_is_a_plain_call_with_the_list() -> None:
    broker, calls = broker_on(), Calls()
    await calls.actor(broker)([1, 2, 3, 4, 5])
    assert calls == [[1, 2, 3, 4, 5]]


async def test_an_actor_that_swallows_the_end_of_its_drain_settles_by_its_outcome() -> None:
    broker, began = broker_on(), asyncio.Event()

    @octoqueue.actor(broker=broker, batch=THREE)
    async def finish(numbers: list[int]) -> None:
        began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)

    async with running(broker, drain=timedelta(0)):
        await send(finish, 1, 2, 3)
        await began.wait()
    assert (await _stats(broker)).counters["acked"] == 3


async def test_a_batch_is_not_begun_early_because_threads_compute() -> None:
    broker, calls, release = broker_on(), Calls(), threading.Event()
    actor = calls.actor(broker)

    @octoqueue.actor(broker=broker)
    def compute() -> None:
        release.wait()

    async with running(broker, concurrency=10) as worker:
        # As messages would have taught it that do nothing but compute.
        worker._claimer.pace.ran(seconds=0.1, cpu_seconds=0.1)
        await octoqueue.asend_many([actor.message(n) for n in range(2)], broker=broker)
        await compute.asend()
        await until(lambda: worker._claimer._executor.in_threads == 1)
        await actor.asend(2)
        await until(lambda: calls)
        release.set()
        await until_done(broker.store(), "default", 4)
    assert list(map(sorted, calls)) == [[0, 1, 2]]
