"""Scaling signals in Prometheus' text format: rates, waits, and who works. Pure.

Rates and waits are those of the last minute, as the deciders see them: whoever scales by Prometheus
need not take the rate of a counter.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from octoqueue.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from octoqueue.primitives.signals import Presence, SignalReading

_WINDOW_SECONDS = 60
QUANTILES = (0.5, 0.95, 0.99)


def signal_exposition(reading: SignalReading, *, prefix: str = names.PREFIX) -> bytes:
    """Return the metrics of a reading.

    A lane in which nothing was started has no quantile, as there is none.
    """
    registry = CollectorRegistry()
    registry.register(_Read(reading, prefix))
    return generate_latest(registry)


class _Read:
    """A collector of what has been read already."""

    def __init__(self, reading: SignalReading, prefix: str) -> None:
        self._reading = reading
        self._prefix = prefix

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._rates()
        yield self._waits()
        yield from self._workers()

    def _gauge(self, name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=labels)

    def _rates(self) -> Iterator[Metric]:
        arrivals = self._gauge(
            names.ARRIVALS, "Messages enqueued a second, last minute", names.QUEUE, names.LANE
        )
        completions = self._gauge(
            names.COMPLETIONS, "Messages acked a second, last minute", names.QUEUE
        )
        failures = self._gauge(
            names.FAILURES, "Attempts that failed a second, last minute", names.QUEUE
        )
        for queue in self._reading.queues:
            for lane in queue.lanes.values():
                rate = lane.arrivals.per_second(_WINDOW_SECONDS)
                arrivals.add_metric([queue.queue, lane.lane.label], rate)
            completions.add_metric([queue.queue], queue.completions.per_second(_WINDOW_SECONDS))
            failures.add_metric([queue.queue], queue.failures.per_second(_WINDOW_SECONDS))
        yield from (arrivals, completions, failures)

    def _waits(self) -> Metric:
        labels = (names.QUEUE, names.LANE, names.QUANTILE)
        waits = self._gauge(names.WAIT_QUANTILE, "Time from ready to claimed, last minute", *labels)
        for queue in self._reading.queues:
            for lane in queue.lanes.values():
                for q in QUANTILES:
                    seconds = lane.waits.percentile_seconds(q)
                    if seconds is not None:
                        waits.add_metric([queue.queue, lane.lane.label, f"{q:g}"], seconds)
        return waits

    def _workers(self) -> Iterator[Metric]:
        counted = self._gauge(
            names.FLEET_WORKERS, "Workers that are alive", names.FLEET, names.STATE
        )
        slots = self._gauge(
            names.FLEET_SLOTS, "Messages that workers which claim can run at once", names.FLEET
        )
        running = self._gauge(
            names.FLEET_RUNNING, "Messages that run, as the workers last said", names.FLEET
        )
        fleets: defaultdict[str, list[Presence]] = defaultdict(list)
        for worker in self._reading.workers:
            fleets[worker.fleet].append(worker)
        for fleet, workers in sorted(fleets.items()):
            ready = [worker for worker in workers if worker.is_ready]
            counted.add_metric([fleet, "ready"], len(ready))
            counted.add_metric([fleet, "draining"], len(workers) - len(ready))
            slots.add_metric([fleet], sum(worker.slots for worker in ready))
            running.add_metric([fleet], sum(worker.running for worker in workers))
        yield from (counted, slots, running)
