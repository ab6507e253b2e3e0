from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from octoqueue.errors import StoreUnavailable
from octoqueue.metrics.exposition import exposition, render
from octoqueue.primitives.histogram import WAIT_BUCKETS
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import QueueStats
from octoqueue.testing.memory_lanes import MemoryLaneStore


def stats_of(queue: str, **changes: object) -> QueueStats:
    fields: dict[str, object] = {
        "queue": queue,
        "depth": {Lane.HIGH: 1, Lane.NORMAL: 2, Lane.LOW: 4},
        "delayed": 5,
        "dead": 6,
        "in_flight": 7,
        "oldest_age_seconds": 1.5,
        "counters": {"enqueued": 10, "acked": 3, "run_us": 2_500_000},
        "waits": (3, 1, *[0] * (WAIT_BUCKETS - 3), 2),
    }
    return QueueStats(**(fields | changes))  # type: ignore[arg-type]


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_depth_carries_the_names_of_the_scaling_guide() -> None:
    found = samples(exposition([stats_of("executor")]))
    assert found["octollm_task_queue_depth", (("component", "executor"),)] == 7
    assert found["octollm_executor_queue_depth", ()] == 7


def test_a_queue_with_a_dash_gets_a_legal_metric_name() -> None:
    assert ("octollm_my_queue_queue_depth", ()) in samples(exposition([stats_of("my-queue")]))


def test_lanes_are_told_apart() -> None:
    found = samples(exposition([stats_of("coder")]))
    name = "octollm_queue_messages_waiting"
    assert found[name, (("lane", "high"), ("queue", "coder"))] == 1
    assert found[name, (("lane", "low"), ("queue", "coder"))] == 4


def test_the_wait_histogram_is_cumulative_and_ends_with_all() -> None:
    found = samples(exposition([stats_of("coder")]))
    name = "octollm_queue_wait_seconds_bucket"
    assert found[name, (("le", "0.001"), ("queue", "coder"))] == 3
    assert found[name, (("le", "0.002"), ("queue", "coder"))] == 4
    assert found[name, (("le", "+Inf"), ("queue", "coder"))] == 6


def test_running_time_is_in_seconds() -> None:
    found = samples(exposition([stats_of("coder")]))
    assert found["octollm_queue_run_seconds_total", (("queue", "coder"),)] == 2.5


async def test_a_queue_that_was_never_used_is_shown_when_asked_for() -> None:
    found = samples(await render(MemoryLaneStore(), queues=["planner"]))
    assert found["octollm_planner_queue_depth", ()] == 0


async def test_what_cannot_be_read_is_an_error_and_not_zero() -> None:
    class Gone(MemoryLaneStore):
        async def stats(self, queue: str) -> QueueStats:
            raise StoreUnavailable("Redis", reason="it is gone")

    with pytest.raises(StoreUnavailable):
        await render(Gone(), queues=["planner"])
