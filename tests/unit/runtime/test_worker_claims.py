"""What a worker claims, when, and how often."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import octoqueue
from octoqueue.errors import StoreProtocolError
from tests.running import Gate, WatchedStore, broker_on, gone, running, until, until_done


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
        await until(lambda: worker._free == worker.options.concurrency)
        assert worker._free == worker.options.concurrency
    assert sorted(ran) == list(range(20))


async def test_a_claim_whose_answer_was_lost_is_handed_back_by_a_worker_that_stops() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def never(number: int) -> None:
        raise AssertionError

    async with running(broker) as worker:
        await until(lambda: store.called("wait_for_bell"))

        async def lose_answer_and_stop() -> None:
            worker.stop()
            raise gone()

        store.after["claim"] = lose_answer_and_stop
        await never.asend(1)
        await until(worker._quiet.is_set)
    stats = await store.stats("default")
    assert (stats.waiting, stats.in_flight) == (1, 0)
    assert not await store.held(worker.session, ["default"])


async def test_a_bell_heard_by_a_worker_that_stops_is_passed_on() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    async with running(broker) as worker:
        await until(lambda: store.called("wait_for_bell"))

        async def stop_at_once() -> None:
            worker.stop()

        store.after["wait_for_bell"] = stop_at_once
        await store.ring(["default"])
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
        assert worker._free == 2


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
