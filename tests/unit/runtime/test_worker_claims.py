"""What a worker claims, when, and how often."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import octoqueue
from octoqueue.broker.session_keeper import new_session
from octoqueue.errors import InvalidMessage, StoreProtocolError
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.envelope import decode_body
from octoqueue.primitives.messages import SessionId
from octoqueue.runtime import orphans
from octoqueue.runtime.pacing import HELD_SECONDS
from octoqueue.runtime.settler import Settler
from octoqueue.runtime.worker import Worker, WorkerOptions
from tests.running import (
    SHORTLY,
    Gate,
    WatchedStore,
    broker_on,
    gone,
    memory_store,
    running,
    until,
    until_done,
)

if TYPE_CHECKING:
    from octoqueue.broker.handles import MessageHandle
    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.primitives.messages import Enqueue, Lease


async def test_a_message_leased_by_a_claim_whose_answer_was_lost_runs_once() -> None:
    store, ran = WatchedStore(), []
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def note(number: int) -> None:
        ran.append(number)

    await octoqueue.asend_many([note.message(n) for n in range(20)], broker=broker)
    store.fail("claim", gone(), lost_answer=True)
    async with running(broker):
        await until_done(store, "default", 20)
    assert sorted(ran) == list(range(20))


async def test_messages_that_come_with_the_first_answer_after_an_outage_run_once() -> None:
    store, ran = WatchedStore(), []
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def note(number: int) -> None:
        ran.append(number)

    await octoqueue.asend_many([note.message(n) for n in range(20)], broker=broker)
    store.fail("claim", gone(), gone())
    async with running(broker) as worker:
        await until_done(store, "default", 20)
        await until(lambda: worker._claimer.free == worker.options.concurrency)
        assert worker._claimer.free == worker.options.concurrency
    assert sorted(ran) == list(range(20))


async def test_a_claim_whose_answer_was_lost_is_handed_back_by_a_worker_that_stops() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def never(number: int) -> None:
        raise AssertionError

    async with running(broker) as worker:
        await until(lambda: store.called("claim_when_rung"))

        async def lose_answer_and_stop() -> None:
            worker.stop()
            raise gone()

        store.after["claim_when_rung"] = lose_answer_and_stop
        await never.asend(1)
        await until(worker._stopping.is_set)
    stats = await store.stats("default")
    assert (stats.waiting, stats.in_flight) == (1, 0)
    assert not await store.held(worker.session, ["default"])


async def test_a_bell_heard_by_a_worker_that_stops_is_passed_on() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    async with running(broker) as worker:
        await until(lambda: store.called("claim_when_rung"))
        await store.inner.ring(["default"])
        worker.stop()
    assert await store.wait_for_bell(["default"], timeout=timedelta(0))


async def test_no_more_is_claimed_than_there_are_free_slots() -> None:
    store, gate = WatchedStore(), Gate()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def wait() -> None:
        await gate.pass_through()

    await octoqueue.asend_many([wait.message() for _ in range(5)], broker=broker)
    async with running(broker, concurrency=2) as worker:
        await gate.entered.wait()
        stats = await store.stats("default")
        assert (stats.in_flight, stats.waiting) == (2, 3)
        assert {kwargs["limit"] for _, kwargs in store.called("claim")} == {2}
        gate.opened.set()
        await until_done(store, "default", 5)
        assert worker._claimer.free == 2


async def test_a_settlement_the_store_refuses_does_not_hold_up_the_others() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, results=True, name="bad")
    async def bad() -> str:
        return "poison"

    @octoqueue.actor(broker=broker, results=True, name="good")
    async def good() -> str:
        return "fine"

    async def refuse_poison() -> None:
        settlements = store.called("commit")[-1][1].get("settlements", ())
        if any(s.result and b"poison" in s.result.body for s in settlements):
            raise StoreProtocolError("Redis refused a call")

    store.before["commit"] = refuse_poison
    messages = [bad.message(), *(good.message() for _ in range(30))]
    await octoqueue.asend_many(messages, broker=broker)
    async with running(broker):
        stats = await until_done(store, "default", 31)
    assert (stats.counters["acked"], stats.dead) == (30, 1)


async def test_what_not_even_the_dead_letters_take_is_handed_back_by_the_worker_that_stops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def note() -> None: ...

    async def refuse_while_working() -> None:
        if "settlement_given_up" not in caplog.messages:
            raise StoreProtocolError("Redis refused a call")

    store.before["commit"] = refuse_while_working
    async with running(broker):
        await note.asend()
        await until(lambda: "settlement_given_up" in caplog.messages)
    stats = await store.stats("default")
    assert (stats.waiting, stats.in_flight) == (1, 0)


async def test_orphans_for_which_there_is_no_slot_are_handed_back() -> None:
    store, ran, gate = WatchedStore(), list[int](), Gate()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def note(number: int) -> None:
        ran.append(number)
        await gate.pass_through()

    async with running(broker, concurrency=2, look_every=timedelta(milliseconds=20)) as worker:
        await until(lambda: store.called("claim_when_rung"))
        messages = [enqueue_of(broker, note.message(n)) for n in range(5)]
        await store.inner.enqueue([messages])
        assert len(await store.inner.claim(worker.session, ["default"], limit=5)) == 5
        store.fail("claim_when_rung", gone())
        await gate.entered.wait()
        gate.opened.set()
        await until_done(store, "default", 5)
    stats = await store.stats("default")
    assert sorted(ran) == list(range(5))
    assert stats.counters["released"] == 3


async def test_an_error_nobody_thought_of_in_a_commit_does_not_end_the_settling() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def note() -> None:
        await asyncio.sleep(0)

    store.fail("commit", RuntimeError("surprise"))
    async with running(broker):
        await octoqueue.asend_many([note.message() for _ in range(10)], broker=broker)
        await until_done(store, "default", 10)


async def test_a_claim_that_reaches_a_stalled_store_late_is_found_by_a_second_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(orphans, "LATE_CLAIM_SECONDS", 0.9)
    store, ran = WatchedStore(), list[int]()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def note(number: int) -> None:
        ran.append(number)

    async with running(broker, look_every=timedelta(milliseconds=20)) as worker:
        store.fail("claim_when_rung", gone())
        await until(lambda: store.called("held"))
        # The claim that was given up takes effect only now, behind the first look.
        await note.asend(1)
        await store.inner.claim(worker.session, ["default"], limit=10)
        await until_done(store, "default", 1)
    assert ran == [1]


async def test_a_message_nobody_foresaw_kills_no_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker, ran = broker_on(), list[str]()

    @octoqueue.actor(broker=broker)
    async def note(word: str) -> None:
        ran.append(word)

    async with running(broker, concurrency=1):
        await broker.opened_store()
        with monkeypatch.context() as patch:
            message = enqueue_of(broker, note.message("first"))
            patch.setattr(broker, "_executables", Unreadable())
            await broker.store().enqueue([[message]])
            await until(lambda: "message_unfit" in caplog.messages)
        await note.asend("second")
        await until_done(broker.store(), "default", 2)
    assert ran == ["second"]


class Unreadable(dict[str, Any]):
    def get(self, *_: object) -> object:
        raise RuntimeError("surprise")


def enqueue_of(broker: LaneBroker, message: MessageHandle[Any]) -> Enqueue:
    (found,) = broker._enveloper.prepared([message], 0)
    return found


async def test_an_actor_that_sends_more_than_one_commit_can_carry_is_told_so() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, queue="other")
    async def child(number: int) -> None: ...

    @octoqueue.actor(broker=broker, results=True)
    async def parent() -> str:
        message = child.message(1)
        for _ in range(10):
            await octoqueue.asend_many([message] * 1_000, broker=broker)
        with pytest.raises(InvalidMessage, match="10,000"):
            await child.asend(1)
        return "told"

    async with running(broker):
        handle = await parent.asend()
        assert await handle.result(timeout=SHORTLY) == "told"
    assert (await (await broker.opened_store()).stats("other")).waiting == 10_000


async def test_many_follow_ups_do_not_travel_in_one_call() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, queue="other")
    async def child(number: int) -> None: ...

    @octoqueue.actor(broker=broker)
    async def parent() -> None:
        message = child.message(1)
        await octoqueue.asend_many([message] * 900, broker=broker)

    await octoqueue.asend_many([parent.message() for _ in range(10)], broker=broker)
    async with running(broker):
        await until_done(store, "default", 10)
    carried = [
        sum(len(settlement.follow_ups) for settlement in kwargs["settlements"])
        for _, kwargs in store.called("commit")
    ]
    assert max(carried) <= 2_000
    assert sum(carried) == 9_000


async def test_a_worker_defines_its_gates_before_it_claims_and_in_its_heartbeat() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, concurrency=3)
    async def work() -> None: ...

    store.fail("define", gone())
    async with running(broker):
        await until(lambda: len(store.called("define")) >= 3)
        await work.asend()
        await until_done(store, "default", 1)
    assert store.called("define")[-1][0] == (broker.gates(),)
    assert broker.gates().caps == {"actor:work": 3}
    verbs = [verb for verb, *_ in store.calls if verb in {"define", "claim"}]
    assert verbs.index("claim") >= 2  # one that failed, one that did not


async def test_a_claim_that_came_short_of_a_rate_limit_is_told_to_who_promotes() -> None:
    store, told = WatchedStore(), list[str]()
    slow = octoqueue.RateLimit("slow", rate=1, per=timedelta(hours=1), burst=1)
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, limits=[slow])
    async def work(number: int) -> None: ...

    async with running(broker, on_bell=lambda: told.append("bell")):
        await octoqueue.asend_many([work.message(n) for n in range(2)], broker=broker)
        await until_done(store, "default", 1)
        await until(lambda: told)


async def test_threads_that_hang_leave_room_for_others() -> None:
    broker, release = broker_on(), threading.Event()
    ran = asyncio.Event()

    @octoqueue.actor(broker=broker)
    def hang() -> None:
        release.wait()

    @octoqueue.actor(broker=broker)
    async def note() -> None:
        ran.set()

    async with running(broker, concurrency=10) as worker:
        # As messages would have taught it that do nothing but compute.
        worker._claimer.pace.ran(seconds=0.1, cpu_seconds=0.1)
        await hang.asend()
        await until(lambda: worker._claimer._executor.in_threads == 1)
        await note.asend()
        async with asyncio.timeout(SHORTLY.total_seconds()):
            await ran.wait()
        release.set()
        await until_done(broker.store(), "default", 2)
        assert worker._claimer._executor.in_threads == 0


async def test_a_worker_that_cannot_commit_stops_all_the_same() -> None:
    store = WatchedStore(memory_store(lease=timedelta(milliseconds=300)))
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def end() -> None: ...

    await octoqueue.asend_many([end.message() for _ in range(20)], broker=broker)
    store.fail("commit", *[gone()] * 1_000)
    async with running(broker, concurrency=1) as worker:
        await until(lambda: worker._claimer._settler.pending > 4)


async def test_what_has_not_begun_when_a_worker_must_stop_is_handed_back_in_order() -> None:
    broker, ran = broker_on(), list[int]()

    @octoqueue.actor(broker=broker)
    async def block(number: int) -> None:
        ran.append(number)
        worker.stop()
        until = time.monotonic() + HELD_SECONDS
        while time.monotonic() < until:
            pass

    await octoqueue.asend_many([block.message(n) for n in range(40)], broker=broker)
    worker = Worker(broker, WorkerOptions(queues=("default",)))
    await worker.run()
    stats = await broker.store().stats("default")
    assert ran == [0, 1, 2, 3]
    assert (stats.waiting, stats.in_flight) == (36, 0)
    left = await broker.store().claim(new_session(), ["default"], limit=40)
    assert [decode_body(lease.payload).args[0] for lease in left] == list(range(4, 40))


async def test_a_worker_that_is_stopped_and_cancelled_at_once_is_cancelled() -> None:
    worker = Worker(broker_on(), WorkerOptions(queues=("default",)))
    task = asyncio.create_task(worker.run())
    await worker.started.wait()
    await until(lambda: worker._claimer._waiting is not None)
    worker.stop()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_small_commits_that_follow_each_other_wait_for_company_the_first_does_not() -> None:
    store = WatchedStore()
    leases = await _leased(store, 6)
    settler = Settler(
        store.lanes, lambda: SessionId("s"), clock=SystemClock(), company_seconds=0.05
    )
    for lease in leases:
        settler.ack(lease)
        await until(lambda: len(store.called("commit")) > 0)
    await settler.drained()
    sizes = [len(kwargs["acks"]) for _, kwargs in store.called("commit")]
    assert sizes == [1, 5]


async def test_the_last_of_a_batch_that_computes_is_handed_back_when_the_worker_stops() -> None:
    store, ran = WatchedStore(), list[int]()
    broker = broker_on(store)
    worker = Worker(broker, WorkerOptions(queues=("default",), concurrency=20))
    worker._claimer.pace.began(1, seconds=0.002)  # two such messages fill a claim

    @octoqueue.actor(broker=broker)
    async def compute(number: int) -> None:
        ran.append(number)
        worker.stop()

    await octoqueue.asend_many([compute.message(n) for n in range(2)], broker=broker)
    async with asyncio.timeout(30):
        await worker.run()
    stats = await store.stats("default")
    assert (ran, stats.waiting, stats.counters["released"]) == ([0], 1, 1)


async def _leased(store: WatchedStore, count: int) -> list[Lease]:
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    await store.inner.enqueue([[enqueue_of(broker, work.message())] for _ in range(count)])
    return await store.inner.claim(SessionId("s"), ["default"], limit=count)
