from __future__ import annotations

from octoqueue.lanes.answers import CancelOutcome
from octoqueue.runtime.orphans import Orphans
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.contract.world import OPTIONS, A, ids, message


async def test_an_orphan_that_was_cancelled_is_ended_and_not_run() -> None:
    clock = FakeClock()
    store = MemoryLaneStore(OPTIONS, clock=clock)
    orphans = Orphans(store, A, ["coder"], clock=clock)
    used, wanted, cancelled = message(), message(), message()
    await store.enqueue([[used], [wanted], [cancelled]])
    leases = await store.claim(A, ["coder"], limit=3)
    known = [lease.token for lease in leases if lease.message_id == used.message_id]
    assert await store.cancel(used.message_id) is CancelOutcome.STOPPING
    assert await store.cancel(cancelled.message_id) is CancelOutcome.STOPPING
    orphans.expect()
    assert ids(await orphans.found(known)) == [wanted.message_id]
    held = ids(await store.held(A, ["coder"]))
    assert sorted(held) == sorted([used.message_id, wanted.message_id])
    assert await store.cancelled(ids([used, cancelled])) == {used.message_id: ""}


async def test_without_orphans_the_store_is_asked_nothing_more() -> None:
    clock = FakeClock()
    store = MemoryLaneStore(OPTIONS, clock=clock)
    orphans = Orphans(store, A, ["coder"], clock=clock)
    orphans.expect()
    assert orphans.is_due
    assert await orphans.found([]) == []
    assert not orphans.is_due
