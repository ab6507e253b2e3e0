"""Unique keys, cancelling and pausing when workers and Redis are killed, as real processes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

import octoqueue
from octoqueue.errors import ActorFailed
from octoqueue.lanes.answers import CancelOutcome
from octoqueue.lanes.options import LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.ids import id_from_text
from octoqueue.redis.client import RedisClient
from tests.contract.redis_processes import RedisProcess
from tests.contract.world import A, ids, message
from tests.running import SHORTLY, until
from tests.worker_processes import QUEUE, Crashes, until_working

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from octoqueue.broker.actors import Actor
    from octoqueue.broker.lane_broker import LaneBroker

LONG_SECONDS = 60.0


@pytest.fixture
def crashes(redis_url: str, tmp_path: Path) -> Crashes:
    return Crashes(redis_url, f"t{uuid4().hex[:8]}", tmp_path / "ran")


def hold_uniquely(broker: LaneBroker) -> Actor[[float], int]:
    """Declare the actor that runs elsewhere."""

    @octoqueue.actor(
        broker=broker,
        queue=QUEUE,
        name="hold_uniquely",
        results=True,
        unique=octoqueue.Unique(until="done"),
    )
    async def elsewhere(seconds: float) -> int:
        return int(seconds)

    return elsewhere


async def first_that_is_no_duplicate(
    broker: LaneBroker, actor: Actor[[float], int], holder: str
) -> bool:
    """Send the same again and again until it is accepted; whether the holder had ended by then."""
    ident = id_from_text(holder)
    assert ident is not None
    while True:
        handle = await actor.asend(LONG_SECONDS)
        if not handle.duplicate:
            return await broker.store().result(ident) is not None
        assert handle.message_id == holder
        await asyncio.sleep(0)


async def test_a_unique_message_of_a_killed_worker_keeps_its_key_and_runs_again(
    crashes: Crashes,
) -> None:
    broker = crashes.broker()
    actor = hold_uniquely(broker)
    async with broker.connected():
        with crashes.worker() as first:
            handle = await actor.asend(LONG_SECONDS)
            await until(lambda: "begin 0" in crashes.lines())
            assert (await actor.asend(LONG_SECONDS)).message_id == handle.message_id
            sending = asyncio.create_task(
                first_that_is_no_duplicate(broker, actor, handle.message_id)
            )
            first.kill()
            first.wait()
        with crashes.worker():
            assert await handle.result(timeout=SHORTLY) == 1
            assert await sending
            await until(lambda: crashes.lines() == ["begin 0", "begin 1", "begin 0"])
        stats = await broker.store().stats(QUEUE)
    assert (stats.counters["reclaimed"], stats.counters["enqueued"]) == (1, 2)


async def test_a_message_cancelled_while_its_worker_is_dead_never_runs_again(
    crashes: Crashes,
) -> None:
    broker = crashes.broker()
    actor = hold_uniquely(broker)
    async with broker.connected():
        with crashes.worker() as first:
            handle = await actor.asend(LONG_SECONDS)
            await until(lambda: "begin 0" in crashes.lines())
            first.kill()
            first.wait()
        assert await handle.acancel("nobody asks any more") is CancelOutcome.STOPPING
        with crashes.worker():
            with pytest.raises(ActorFailed) as failed:
                await handle.result(timeout=SHORTLY)
            assert (failed.value.error, failed.value.detail) == (
                "Cancelled",
                "nobody asks any more",
            )
            assert not (await actor.asend(LONG_SECONDS)).duplicate
            await until(lambda: len(crashes.lines()) == 2)
        stats = await broker.store().stats(QUEUE)
    assert crashes.lines() == ["begin 0", "begin 0"]
    assert (stats.counters["cancelled"], stats.waiting) == (1, 0)


async def test_a_running_message_is_stopped_in_its_worker(crashes: Crashes) -> None:
    broker = crashes.broker()
    actor = hold_uniquely(broker)
    async with broker.connected():
        with crashes.worker():
            await until_working(broker, 1)
            handle = await actor.asend(LONG_SECONDS)
            await until(lambda: "begin 0" in crashes.lines())
            assert await handle.acancel("stop") is CancelOutcome.STOPPING
            with pytest.raises(ActorFailed, match="stop"):
                await handle.result(timeout=SHORTLY)
            assert crashes.lines() == ["begin 0", "stopped"]
            assert not (await actor.asend(LONG_SECONDS)).duplicate


@contextlib.asynccontextmanager
async def on_server(server: RedisProcess) -> AsyncGenerator[RedisLaneStore]:
    store = RedisLaneStore(RedisClient(server.url), LaneOptions())
    try:
        yield store
    finally:
        await store.aclose()


async def test_a_queue_stays_paused_and_a_message_cancelled_when_redis_is_killed(
    tmp_path: Path,
) -> None:
    settings = ("--appendonly", "yes", "--appendfsync", "always")
    server = RedisProcess(tmp_path / "redis", settings=settings)
    server.start()
    running, waiting = message(), message()
    try:
        async with on_server(server) as store:
            await store.enqueue([[running]])
            assert ids(await store.claim(A, ["coder"], limit=1)) == [running.message_id]
            await store.enqueue([[waiting]])
            assert await store.cancel(running.message_id, "why") is CancelOutcome.STOPPING
            await store.pause("coder")
        server.kill()
        server.start()
        async with on_server(server) as store:
            assert (await store.stats("coder")).paused
            assert await store.claim(A, ["coder"], limit=5) == []
            told = await store.cancelled(ids([running, waiting]))
            assert told == {running.message_id: "why"}
            await store.resume("coder")
            assert ids(await store.claim(A, ["coder"], limit=5)) == [waiting.message_id]
    finally:
        server.kill()
