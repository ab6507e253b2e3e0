"""Promoter and reclaimer: what they do, when they look, and what cannot stop them."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import octoqueue
from octoqueue.lanes.options import LaneOptions
from octoqueue.maintenance.promoter import Promoter
from octoqueue.maintenance.reclaimer import Reclaimer
from octoqueue.primitives.messages import SessionId
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.running import WatchedStore, broker_on, gone, running, until, until_done

HOUR = timedelta(hours=1)


async def test_a_delayed_message_is_promoted_when_it_is_due() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    await work.using(delay=timedelta(milliseconds=30)).asend()
    promoter = Promoter(store.lanes, ["default"], look_every=HOUR)
    await promoter.start()
    await until(lambda: _waits(store))
    await promoter.stop()
    await promoter.stop()
    assert len(store.called("promote")) <= 4


async def _waits(store: WatchedStore) -> bool:
    return bool((await store.stats("default")).waiting)


async def test_a_message_that_is_due_earlier_than_thought_is_not_late() -> None:
    """The bell of the earlier message reaches the worker, and the worker nudges the promoter."""
    store = WatchedStore()
    broker = broker_on(store)
    promoter = Promoter(store.lanes, ["default"], look_every=HOUR)

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    await promoter.start()
    await until(lambda: len(store.called("promote")) == 1)
    async with running(broker, on_bell=promoter.nudge, look_every=HOUR):
        await work.using(delay=HOUR).asend()
        await work.using(delay=timedelta(milliseconds=20)).asend()
        await until_done(store, "default", 1)
    await promoter.stop()
    assert (await store.stats("default")).delayed == 1


async def test_what_one_promoter_learns_reaches_all_who_idle() -> None:
    """Whoever heard the bell may be killed before the message is due."""
    memory = MemoryLaneStore()
    stores = [WatchedStore(memory) for _ in range(4)]
    sender = broker_on(memory)

    @octoqueue.actor(broker=sender)
    async def work() -> None: ...

    async with contextlib.AsyncExitStack() as stack:
        for store in stores:
            promoter = Promoter(store.lanes, ["default"], look_every=HOUR)
            stack.push_async_callback(promoter.stop)
            await promoter.start()
            await stack.enter_async_context(
                running(broker_on(store), on_bell=promoter.nudge, look_every=HOUR)
            )
        await until(lambda: all(store.called("promote") for store in stores))
        await work.using(delay=timedelta(minutes=1)).asend()
        await until(lambda: all(store.called("ring") for store in stores))
        # Whoever hears it twice tells nobody.
        assert [len(store.called("ring")) for store in stores] == [1, 1, 1, 1]


async def test_a_busy_promoter_looks_within_a_second_and_stirring_it_again_changes_nothing() -> (
    None
):
    store = WatchedStore()
    promoter = Promoter(store.lanes, ["default"], look_every=HOUR)
    promoter._stirred_seconds = 0.05
    await promoter.start()
    await until(lambda: len(store.called("promote")) == 1)
    for _ in range(3):
        promoter.stir()
    await until(lambda: len(store.called("promote")) == 2)
    await promoter.stop()
    assert len(store.called("promote")) == 2


async def test_a_worker_with_work_stirs_its_promoter() -> None:
    store = WatchedStore()
    broker = broker_on(store)
    stirred: list[int] = []

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    async with running(broker, on_work=lambda: stirred.append(1)):
        assert not stirred
        await work.asend()
        await until_done(store, "default", 1)
    assert len(stirred) == 1


async def test_no_error_ends_the_promoter() -> None:
    store = WatchedStore()
    store.fail("promote", gone(), RuntimeError("surprise"))
    promoter = Promoter(store.lanes, ["a", "b"], look_every=timedelta(milliseconds=1))
    await promoter.start()
    await until(lambda: len(store.called("promote")) >= 6)
    await promoter.stop()


async def test_what_a_dead_worker_held_goes_back_with_one_delivery_counted() -> None:
    clock = FakeClock()
    store = WatchedStore(MemoryLaneStore(LaneOptions(lease=timedelta(seconds=10)), clock=clock))
    broker = broker_on(store)
    deliveries: list[int] = []

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        message = octoqueue.current_message()
        assert message is not None
        deliveries.append(message.deliveries)

    await work.asend()
    assert len(await store.claim(SessionId("dead"), ["default"], limit=1)) == 1
    reclaimer = Reclaimer(store.lanes, clock=clock)
    await reclaimer.start()
    await until(lambda: store.called("reclaim"))
    async with running(broker):
        clock.advance(11_000)
        await until_done(store, "default", 1)
    await reclaimer.stop()
    assert deliveries == [1]


async def test_the_reclaimer_sleeps_until_a_session_would_expire() -> None:
    clock = FakeClock()
    store = WatchedStore(MemoryLaneStore(LaneOptions(lease=timedelta(seconds=10)), clock=clock))
    await store.extend(SessionId("alive"))
    reclaimer = Reclaimer(store.lanes, clock=clock)
    await reclaimer.start()
    await until(lambda: store.called("next_expiry"))
    for _ in range(9):
        clock.advance(1_000)
        await store.extend(SessionId("alive"))
    assert len(store.called("reclaim")) == 1
    clock.advance(1_020)
    await until(lambda: len(store.called("next_expiry")) == 2)
    assert len(store.called("reclaim")) == 2
    await reclaimer.stop()


async def test_no_error_ends_the_reclaimer() -> None:
    store = WatchedStore()
    store.fail("reclaim", gone(), RuntimeError("surprise"))
    reclaimer = Reclaimer(store.lanes, look_every=timedelta(milliseconds=1))
    await reclaimer.start()
    await until(lambda: len(store.called("reclaim")) >= 4)
    await reclaimer.stop()
    await reclaimer.stop()
