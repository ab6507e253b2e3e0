"""Results that are too large for Redis, and for anything."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import pytest

import octoqueue
from octoqueue.broker.claim_checks import ClaimChecks, claim_checks_from
from octoqueue.errors import (
    ActorFailed,
    ConfigError,
    ObjectMissing,
    ObjectsRefused,
    ResultTooLarge,
    StoreUnavailable,
)
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.ids import id_from_text
from octoqueue.primitives.messages import SessionId
from octoqueue.runtime.offloading import Offloader
from octoqueue.runtime.settler import Settler
from octoqueue.runtime.worker import Worker, WorkerOptions
from octoqueue.settings.root import Settings
from octoqueue.storage.objects import objects_at
from octoqueue.storage.pruning import prune_results
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_objects import MemoryObjects
from tests.contract.world import ack, message
from tests.running import SHORTLY, WatchedStore, broker_on, memory_store, running, until

if TYPE_CHECKING:
    from pathlib import Path

    from octoqueue.broker.actors import AsyncActor
    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.lanes.protocol import LaneStore

LARGE = 5_000


class FailingObjects(MemoryObjects):
    """Objects whose next puts fail."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.put_first = asyncio.Event()

    async def put(self, key: str, body: bytes) -> None:
        self.put_first.set()
        if self.errors:
            raise self.errors.pop(0)
        await super().put(key, body)


def broker_with(
    objects: MemoryObjects | None, store: object = None
) -> tuple[LaneBroker, AsyncActor[[int], str]]:
    broker = broker_on(store)
    broker.claim_checks = ClaimChecks(
        open_objects=None if objects is None else lambda: objects,
        max_bytes=1_000,
        max_object_bytes=10_000,
    )

    @octoqueue.actor(broker=broker, results=True)
    async def text(length: int) -> str:
        return "x" * length

    return broker, text


async def kept(store: LaneStore, message_id: str) -> bytes:
    ident = id_from_text(message_id)
    assert ident is not None
    return await store.result(ident) or b""


async def test_a_large_result_waits_in_the_object_store_and_comes_as_if_it_did_not() -> None:
    objects = MemoryObjects()
    broker, text = broker_with(objects)
    async with broker.connected(), running(broker):
        handle = await text.asend(LARGE)
        assert await handle.result(timeout=SHORTLY) == "x" * LARGE
        assert await handle.result(timeout=SHORTLY) == "x" * LARGE
        check = orjson.loads(await kept(broker.store(), handle.message_id))
        assert check == {"ref": next(iter(objects.objects))}
        assert handle.message_id in check["ref"]


async def test_a_small_result_never_comes_near_the_object_store() -> None:
    objects = MemoryObjects()
    broker, text = broker_with(objects)
    async with broker.connected(), running(broker):
        assert await (await text.asend(10)).result(timeout=SHORTLY) == "x" * 10
    assert objects.objects == {}


@pytest.mark.parametrize(
    ("objects", "length", "setting"),
    [
        (MemoryObjects(), 10_001, "results.max_object_bytes"),
        (None, LARGE, "results.max_bytes, as no storage.url is configured"),
    ],
)
async def test_a_result_over_the_limit_is_the_end_of_its_message(
    objects: MemoryObjects | None, length: int, setting: str
) -> None:
    broker, text = broker_with(objects)
    async with broker.connected(), running(broker):
        handle = await text.asend(length)
        with pytest.raises(ActorFailed, match=setting) as failed:
            await handle.result(timeout=SHORTLY)
        (letter,) = await broker.store().dead_letters("default")
    assert failed.value.error == ResultTooLarge.__name__
    assert orjson.loads(letter.reason)["error"] == ResultTooLarge.__name__


async def test_an_outage_of_the_object_store_delays_the_result_and_keeps_the_lease() -> None:
    objects = FailingObjects(StoreUnavailable("the object store", reason="gone"))
    store = WatchedStore()
    broker, text = broker_with(objects, store)
    async with broker.connected(), running(broker):
        handle = await text.asend(LARGE)
        assert await handle.result(timeout=SHORTLY) == "x" * LARGE
        stats = await broker.store().stats("default")
    assert (stats.counters["claimed"], stats.counters["acked"]) == (1, 1)


async def test_a_result_on_its_way_to_the_object_store_is_no_orphan() -> None:
    """A worker that lost the answer to a claim runs what it holds and does not know."""
    objects = FailingObjects(*[StoreUnavailable("the object store", reason="gone")] * 100)
    checks = ClaimChecks(open_objects=lambda: objects, max_bytes=1)
    store, clock, session = memory_store(), FakeClock(), SessionId("a")
    settler = Settler(store, lambda: session, clock=clock, offloader=Offloader(checks, clock=clock))
    await store.enqueue([[message()]])
    (lease,) = await store.claim(session, ["coder"], limit=1)
    settler.settle(ack(lease, result=b"large"))
    await objects.put_first.wait()
    assert (settler.pending, settler.tokens()) == (1, {lease.token})
    objects.errors.clear()
    while settler.pending:
        clock.advance(10_000)
        await asyncio.sleep(0)
    await settler.drained()
    assert (await store.stats("coder")).counters["acked"] == 1


async def test_an_object_store_that_does_not_let_us_in_ends_the_message() -> None:
    objects = FailingObjects(ObjectsRefused("a", reason="no"))
    broker, text = broker_with(objects)
    async with broker.connected(), running(broker):
        with pytest.raises(ActorFailed, match="the object store refused 'a': no"):
            await (await text.asend(LARGE)).result(timeout=SHORTLY)


async def test_a_worker_that_stops_waits_for_the_object_store() -> None:
    objects = FailingObjects(StoreUnavailable("the object store", reason="gone"))
    broker, text = broker_with(objects)
    async with broker.connected():
        async with running(broker):
            handle = await text.asend(LARGE)
            await objects.put_first.wait()
        assert await handle.result(timeout=timedelta(0)) == "x" * LARGE


async def test_a_crash_between_put_and_commit_leaves_only_garbage_that_is_pruned() -> None:
    objects = MemoryObjects()
    store = WatchedStore(memory_store(lease=timedelta(milliseconds=50)))
    broker, text = broker_with(objects, store)
    committing = asyncio.Event()

    async def hang() -> None:
        committing.set()
        await asyncio.Event().wait()

    async def is_reclaimed() -> bool:
        return await store.lanes.reclaim() == 1

    store.before["commit"] = hang
    async with broker.connected():
        handle = await text.asend(LARGE)
        killed = asyncio.create_task(Worker(broker, WorkerOptions(queues=("default",))).run())
        await committing.wait()
        killed.cancel()
        await asyncio.wait([killed])
        (garbage,) = objects.objects
        del store.before["commit"]
        await until(is_reclaimed)
        async with running(broker):
            assert await handle.result(timeout=SHORTLY) == "x" * LARGE
        check = orjson.loads(await kept(broker.store(), handle.message_id))
    assert set(objects.objects) == {garbage, check["ref"]}
    assert garbage != check["ref"]
    later_ms = SystemClock().now_ms() + timedelta(days=3) // timedelta(milliseconds=1)
    assert await prune_results(objects, now_ms=later_ms) == 2
    assert objects.objects == {}


async def test_an_object_that_is_gone_is_missed_by_name() -> None:
    objects = MemoryObjects()
    broker, text = broker_with(objects)
    async with broker.connected(), running(broker):
        handle = await text.asend(LARGE)
        await handle.result(timeout=SHORTLY)
        objects.objects.clear()
        with pytest.raises(ObjectMissing, match=handle.message_id):
            await handle.result(timeout=SHORTLY)
        broker.claim_checks = ClaimChecks()
        with pytest.raises(ConfigError, match=r"no storage\.url is configured here"):
            await handle.result(timeout=SHORTLY)


def test_the_private_servers_have_a_folder_and_a_server_of_the_program_has_none(
    tmp_path: Path,
) -> None:
    private = Settings.load(environ={"OCTOQUEUE_EMBEDDED__STATE_DIR": str(tmp_path)})
    assert claim_checks_from(private, private=True).objects is not None
    assert (tmp_path / "objects").is_dir()
    assert claim_checks_from(private, private=False).objects is None
    shared = Settings.load(environ={"OCTOQUEUE_REDIS_URL": "redis://localhost/0"})
    assert claim_checks_from(shared, private=True).objects is None
    bucket = Settings.load(
        environ={
            "OCTOQUEUE_REDIS_URL": "redis://localhost/0",
            "OCTOQUEUE_STORAGE__URL": "memory:///",
        }
    )
    assert type(claim_checks_from(bucket, private=True).objects) is type(objects_at("memory:///"))
