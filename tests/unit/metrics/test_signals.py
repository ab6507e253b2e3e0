"""Snapshots of fleets, and their signals as metrics."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from octoqueue.errors import StoreUnavailable
from octoqueue.metrics.exposition import render
from octoqueue.metrics.signals import orchestrator_queues, snapshot_from
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import SessionId
from octoqueue.primitives.signals import ArrivalForecast, Presence, SignalReading
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.contract.world import message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.primitives.signals import FleetSnapshot

SESSION = SessionId("host-1")


async def snapshot_of_arms(store: MemoryLaneStore) -> FleetSnapshot:
    reading = await store.read_signals(["coder", "judge"], due_within=timedelta(0), fleet="arms")
    return snapshot_from(reading, "arms")


def presence(**changes: object) -> Presence:
    said: dict[str, object] = {
        "session": "",
        "name": "arm",
        "fleet": "arms",
        "queues": ("coder",),
        "slots": 8,
        "running": 3,
        "started_at_ms": 1,
        "ready_at_ms": 2,
        "said_at_ms": 0,
    }
    return Presence(**(said | changes))  # type: ignore[arg-type]


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def test_a_snapshot_has_the_queues_of_the_policy_and_the_workers_of_its_fleet() -> None:
    store = MemoryLaneStore(clock=FakeClock())
    await store.enqueue([[message(queue="judge")], [message(queue="planner")]])
    await store.extend(SESSION, presence())
    await store.extend(SessionId("other"), presence(fleet="arms", queues=("planner",)))
    await store.extend(SessionId("foreign"), presence(fleet="planners", queues=("planner",)))
    snapshot = await snapshot_of_arms(store)
    assert [queue.queue for queue in snapshot.queues] == ["coder", "judge"]
    assert (snapshot.fleet, snapshot.in_system, snapshot.ready_slots) == ("arms", 1, 16)
    assert (snapshot.forecast, snapshot.lead_seconds) == (None, None)
    assert snapshot.age_seconds(snapshot.taken_at_ms + 1_500) == 1.5


async def test_workers_of_another_fleet_that_shares_a_queue_are_not_counted() -> None:
    """Else they would be protected, and kept for a long backlog, by both fleets."""
    store = MemoryLaneStore(clock=FakeClock())
    await store.extend(SESSION, presence())
    await store.extend(SessionId("other"), presence(fleet="big", at_risk_seconds=9_999))
    await store.extend(SessionId("by hand"), presence(fleet=""))
    snapshot = await snapshot_of_arms(store)
    assert [worker.fleet for worker in snapshot.workers] == ["", "arms"]
    assert snapshot.ready_slots == 16


async def test_a_snapshot_has_what_was_made_elsewhere() -> None:
    forecast = ArrivalForecast(
        made_at_ms=1,
        minutes=(),
        interval=0.9,
        skill_against_now=0.1,
        skill_against_last_week=0.1,
        scored_minutes=1,
    )
    reading = SignalReading(taken_at_ms=7, queues=())
    snapshot = snapshot_from(reading, "arms", forecast=forecast, lead_seconds=45)
    assert (snapshot.forecast, snapshot.lead_seconds) == (forecast, 45)
    assert snapshot.taken_at_ms == 7


async def test_a_store_that_is_gone_makes_no_metrics() -> None:
    class Gone(MemoryLaneStore):
        async def read_signals(
            self, queues: Sequence[str], *, due_within: timedelta, fleet: str = ""
        ) -> SignalReading:
            raise StoreUnavailable("Redis", reason="it is gone")

    with pytest.raises(StoreUnavailable):
        await render(Gone(), queues=["coder"])


def test_a_fleet_of_orchestrators_has_a_queue_a_partition() -> None:
    assert orchestrator_queues(3) == ("orchestrator.0", "orchestrator.1", "orchestrator.2")


async def test_rates_waits_and_workers_are_metrics() -> None:
    clock = FakeClock()
    store = MemoryLaneStore(clock=clock)
    await store.enqueue([[message(lane=Lane.HIGH)] for _ in range(30)])
    clock.advance(400)
    leases = await store.claim(SESSION, ["coder"], limit=12)
    await store.commit(SESSION, acks=leases)
    await store.extend(SESSION, presence())
    await store.extend(SessionId("b"), presence(is_draining=True))
    found = samples(await render(store))
    assert found["octollm_queue_arrivals_per_second", "high", "coder"] == 0.5
    assert found["octollm_queue_arrivals_per_second", "low", "coder"] == 0
    assert found["octollm_queue_completions_per_second", "coder"] == 0.2
    assert found["octollm_queue_failures_per_second", "coder"] == 0
    assert 0.2 < found["octollm_queue_wait_quantile_seconds", "high", "0.95", "coder"] <= 0.5
    assert ("octollm_queue_wait_quantile_seconds", "low", "0.95", "coder") not in found
    assert found["octollm_fleet_workers", "arms", "ready"] == 1
    assert found["octollm_fleet_workers", "arms", "draining"] == 1
    assert found["octollm_fleet_slots", "arms"] == 8
    assert found["octollm_fleet_running", "arms"] == 6
