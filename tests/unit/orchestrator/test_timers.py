"""Timers that are due soon."""

from __future__ import annotations

from octoqueue.orchestrator.timers import Timers
from octoqueue.workflows.executions import ExecutionId
from octoqueue.workflows.protocol import Timer


def timer(execution: str, due_at_ms: int, *, step: str = "1", partition: int = 0) -> Timer:
    return Timer(
        partition=partition, execution_id=ExecutionId(execution), step=step, due_at_ms=due_at_ms
    )


def test_what_is_due_comes_soonest_first_and_once() -> None:
    timers = Timers(horizon_ms=100)
    timers.add([timer("b", 20), timer("a", 10), timer("a", 10)], now_ms=0)
    assert timers.next_at_ms() == 10
    assert timers.due(now_ms=20) == [("a", "1", 0), ("b", "1", 0)]
    assert timers.due(now_ms=20) == []
    assert timers.next_at_ms() is None


def test_what_is_due_behind_the_horizon_stays_in_the_store() -> None:
    timers = Timers(horizon_ms=100)
    timers.add([timer("a", 101)], now_ms=0)
    assert len(timers) == 0
    timers.add([timer("a", 101)], now_ms=1)
    assert len(timers) == 1


def test_a_timer_that_was_moved_rings_at_its_new_time_only() -> None:
    timers = Timers(horizon_ms=100)
    timers.add([timer("a", 10)], now_ms=0)
    timers.add([timer("a", 30)], now_ms=0)
    assert timers.due(now_ms=10) == []
    assert timers.due(now_ms=30) == [("a", "1", 0)]


def test_a_discarded_timer_does_not_ring() -> None:
    timers = Timers(horizon_ms=100)
    timers.add([timer("a", 10), timer("a", 10, step="2")], now_ms=0)
    timers.discard(ExecutionId("a"), "1")
    timers.discard(ExecutionId("unknown"), "1")
    assert timers.due(now_ms=10) == [("a", "2", 0)]


def test_timers_of_a_lost_partition_are_forgotten_and_may_come_back() -> None:
    timers = Timers(horizon_ms=100)
    timers.add([timer("a", 10, partition=1), timer("b", 10, partition=2)], now_ms=0)
    timers.drop(1)
    assert len(timers) == 1
    timers.add([timer("a", 10, partition=1)], now_ms=0)
    assert timers.due(now_ms=10) == [("a", "1", 1), ("b", "1", 2)]
