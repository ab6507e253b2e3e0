"""The heartbeat: a thread that keeps a session alive and watches the loop."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import octoqueue
from octoqueue.primitives.messages import SessionId
from octoqueue.runtime import heartbeat as heartbeat_module
from octoqueue.runtime.heartbeat import Heartbeat
from tests.running import WatchedStore, broker_on, gone, memory_store, running, until, until_done

if TYPE_CHECKING:
    import pytest

    from octoqueue.lanes.protocol import LaneStore

SESSION = SessionId("host-1-abc")
LEASE = timedelta(milliseconds=400)


def heartbeat_on(store: WatchedStore, expired: list[int] | None = None) -> Heartbeat:
    async def open_store() -> LaneStore:
        return store.lanes

    told = [] if expired is None else expired
    return Heartbeat(
        open_store,
        SESSION,
        lease=LEASE,
        on_expired=lambda: told.append(1),
    )


async def test_a_session_lives_as_long_as_its_heartbeat() -> None:
    store, expired = WatchedStore(memory_store(lease=LEASE)), list[int]()
    heartbeat = heartbeat_on(store, expired)
    await heartbeat.start()
    await until(lambda: len(store.called("extend")) >= 8)
    assert await store.extend(SESSION)
    await heartbeat.stop()
    await heartbeat.stop()
    assert expired == []


async def test_no_error_ends_the_heartbeat(caplog: pytest.LogCaptureFixture) -> None:
    store = WatchedStore(memory_store(lease=LEASE))
    store.fail("extend", RuntimeError("surprise"), gone())
    heartbeat = heartbeat_on(store)
    await heartbeat.start()
    await until(lambda: len(store.called("extend")) >= 4)
    await heartbeat.stop()
    assert caplog.messages.count("heartbeat_failed") == 1


async def test_a_session_found_expired_is_reported_once() -> None:
    store, expired = WatchedStore(memory_store(lease=LEASE)), list[int]()
    heartbeat = heartbeat_on(store, expired)
    await heartbeat.start()
    await until(lambda: len(store.called("extend")) >= 2)
    await store.retire(SESSION)
    await until(lambda: expired)
    count = len(store.called("extend"))
    await until(lambda: len(store.called("extend")) >= count + 2)
    await heartbeat.stop()
    assert expired == [1]


async def test_a_session_that_was_silent_for_a_lease_is_reported_although_it_is_alive() -> None:
    """A claim registers an unknown session anew, and may do so before the heartbeat beats."""
    store, expired = WatchedStore(memory_store(lease=LEASE)), list[int]()
    heartbeat = heartbeat_on(store, expired)
    await heartbeat.start()
    await until(lambda: len(store.called("extend")) >= 1)
    store.fail("extend", *[gone() for _ in range(8)])
    count = len(store.called("extend"))
    await until(lambda: len(store.called("extend")) >= count + 8)
    await store.inner.extend(SESSION)
    await until(lambda: expired)
    await heartbeat.stop()


async def test_an_actor_that_blocks_the_loop_is_named_and_loses_no_lease(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(heartbeat_module, "_BLOCKED_SECONDS", 0.7)
    caplog.set_level(logging.INFO)
    store = WatchedStore(memory_store(lease=LEASE))
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def hold_everybody_up() -> None:
        time.sleep(1.5)  # noqa: ASYNC251 - what is to be noticed

    async with running(broker):
        await hold_everybody_up.asend()
        stats = await until_done(store, "default", 1)
        assert await store.reclaim() == 0
        assert stats.counters == {**stats.counters, "acked": 1}
        await until(lambda: "event_loop_recovered" in caplog.messages)
    (record,) = [r for r in caplog.records if r.message == "event_loop_blocked"]
    assert "hold_everybody_up" in record.where  # type: ignore[attr-defined]
    assert "session_expired" not in caplog.messages


async def test_what_belongs_to_a_beat_is_tried_again_with_the_next_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, beats = WatchedStore(memory_store(lease=LEASE)), list[object]()

    async def open_store() -> LaneStore:
        return store.lanes

    async def on_beat(of_the_heartbeat: LaneStore) -> None:
        beats.append(of_the_heartbeat)
        if len(beats) == 1:
            raise LookupError("not yet")

    heartbeat = Heartbeat(
        open_store, SESSION, lease=LEASE, on_expired=lambda: None, on_beat=on_beat
    )
    await heartbeat.start()
    await until(lambda: len(beats) >= 3)
    assert await store.extend(SESSION)
    await heartbeat.stop()
    assert caplog.messages.count("heartbeat_task_failed") == 1
