"""`/metrics`: the state of all queues in Prometheus' text format.

A number that could not be read is an error and never 0: `render` raises, and the scrape fails.
The sum of the wait histogram is estimated from its buckets' middles, as the store counts buckets
and no sum; percentiles are not affected.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from octoqueue.metrics.signal_exposition import signal_exposition
from octoqueue.primitives.histogram import WAIT_BOUNDS_MS
from octoqueue.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.postgres.outbox import OutboxSize
    from octoqueue.primitives.messages import QueueStats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")


async def render(
    store: LaneStore, *, queues: Iterable[str] = (), prefix: str = names.PREFIX
) -> bytes:
    """Return the metrics of `queues` and of every queue the store knows, and of who serves them.

    Raises:
        StoreUnavailable: the counters cannot be read.
    """
    wanted = sorted({*queues, *await store.queues()})
    stats = [await store.stats(queue) for queue in wanted]
    reading = await store.read_signals(wanted, due_within=timedelta(0))
    return exposition(stats, prefix=prefix) + signal_exposition(reading, prefix=prefix)


def exposition(stats: Sequence[QueueStats], *, prefix: str = names.PREFIX) -> bytes:
    """Return the metrics of these queues. Pure."""
    registry = CollectorRegistry()
    registry.register(_Read(stats, prefix))
    return generate_latest(registry)


def outbox_exposition(size: OutboxSize, *, prefix: str = names.PREFIX) -> bytes:
    """Return the metrics of an outbox. Pure."""
    registry = CollectorRegistry()
    for name, text, value in (
        (names.OUTBOX_PENDING, "Rows of the outbox that wait to become messages", size.pending),
        (names.OUTBOX_FAILED, "Rows of the outbox that can never become messages", size.failed),
        (names.OUTBOX_OLDEST_AGE, "Age of the oldest pending row", size.oldest_seconds),
    ):
        Gauge(f"{prefix}_{name}", text, registry=registry).set(value)
    return generate_latest(registry)


class _Read:
    """A collector of what has been read already."""

    def __init__(self, stats: Sequence[QueueStats], prefix: str) -> None:
        self._stats = stats
        self._prefix = prefix

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._depths()
        yield from self._gauges()
        yield from self._totals()
        yield self._waits()

    def _gauge(self, name: str, text: str, label: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=[label])

    def _depths(self) -> Iterator[Metric]:
        text = "Number of tasks waiting in queue"
        depth = self._gauge(names.TASK_QUEUE_DEPTH, text, names.COMPONENT)
        for queue in self._stats:
            depth.add_metric([queue.queue], queue.waiting)
        yield depth
        for queue in self._stats:
            own = names.QUEUE_DEPTH_OF.format(queue=_NOT_IN_A_NAME.sub("_", queue.queue))
            yield GaugeMetricFamily(f"{self._prefix}_{own}", text, value=queue.waiting)

    def _gauges(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            f"{self._prefix}_{names.WAITING}", "Messages waiting", labels=[names.QUEUE, names.LANE]
        )
        delayed = self._gauge(names.DELAYED, "Messages that are not due yet", names.QUEUE)
        in_flight = self._gauge(names.IN_FLIGHT, "Messages leased by workers", names.QUEUE)
        dead = self._gauge(names.DEAD_LETTERS, "Messages among the dead letters", names.QUEUE)
        oldest = self._gauge(names.OLDEST_AGE, "Age of the oldest waiting message", names.QUEUE)
        for queue in self._stats:
            for lane, depth in queue.depth.items():
                waiting.add_metric([queue.queue, lane.label], depth)
            delayed.add_metric([queue.queue], queue.delayed)
            in_flight.add_metric([queue.queue], queue.in_flight)
            dead.add_metric([queue.queue], queue.dead)
            oldest.add_metric([queue.queue], queue.oldest_age_seconds)
        yield from (waiting, delayed, in_flight, dead, oldest)

    def _totals(self) -> Iterator[Metric]:
        messages = CounterMetricFamily(
            f"{self._prefix}_{names.MESSAGES}",
            "Moves of messages",
            labels=[names.QUEUE, names.OUTCOME],
        )
        ran = CounterMetricFamily(
            f"{self._prefix}_{names.RUN_SECONDS}", "Time attempts have run", labels=[names.QUEUE]
        )
        for queue in self._stats:
            for outcome in names.OUTCOMES:
                messages.add_metric([queue.queue, outcome], queue.counters.get(outcome, 0))
            ran.add_metric([queue.queue], queue.counters.get("run_us", 0) / 1_000_000)
        yield from (messages, ran)

    def _waits(self) -> Metric:
        family = HistogramMetricFamily(
            f"{self._prefix}_{names.WAIT}", "Time from ready to claimed", labels=[names.QUEUE]
        )
        for queue in self._stats:
            buckets, seen = list[tuple[str, float]](), 0
            for bound, count in zip(WAIT_BOUNDS_MS, queue.waits, strict=False):
                seen += count
                buckets.append((f"{bound / 1000:g}", seen))
            buckets.append(("+Inf", sum(queue.waits)))
            family.add_metric([queue.queue], buckets, sum_value=_estimated_sum(queue.waits))
        return family


def _estimated_sum(waits: Sequence[int]) -> float:
    total, low = 0.0, 0
    for index, count in enumerate(waits):
        high = WAIT_BOUNDS_MS[index] if index < len(WAIT_BOUNDS_MS) else low
        total += count * (low + high) / 2
        low = high
    return total / 1000
