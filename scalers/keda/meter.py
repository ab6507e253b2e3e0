"""`CallMeter`: which calls came, how they ended, how long they took, and who has stopped calling.

KEDA shows nowhere that its loop for a ScaledObject hangs; the age of the last call does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily

from octoqueue.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric

    from octoqueue.primitives.clock import Clock

_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)
_FORGOTTEN_AFTER_SECONDS = 24 * 3_600.0
_MOST_OBJECTS = 20_000


class ScaledObjectName(NamedTuple):
    """Whom KEDA asks for."""

    namespace: str
    name: str


class CallMeter:
    """Counts calls."""

    def __init__(
        self, registry: CollectorRegistry, *, clock: Clock, prefix: str = names.PREFIX
    ) -> None:
        self._clock = clock
        self._prefix = prefix
        self._called: dict[ScaledObjectName, float] = {}
        self._calls = Counter(
            f"{prefix}_{names.SCALER_CALL}",
            "Calls of KEDA, by how they ended",
            [names.METHOD, names.CODE],
            registry=registry,
        )
        self._seconds = Histogram(
            f"{prefix}_{names.SCALER_CALL_SECONDS}",
            "How long calls of KEDA took",
            [names.METHOD],
            buckets=_BUCKETS_SECONDS,
            registry=registry,
        )
        registry.register(self)

    def began(self, namespace: str, name: str) -> float:
        """Remember that a ScaledObject was asked for; return the moment, for `ended`."""
        now, called = self._clock.monotonic(), ScaledObjectName(namespace, name)
        if called in self._called or len(self._called) < _MOST_OBJECTS:
            self._called[called] = now
        return now

    def ended(self, method: str, code: str, began: float) -> None:
        """Count a call."""
        self._calls.labels(method, code).inc()
        self._seconds.labels(method).observe(self._clock.monotonic() - began)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: ages are known when they are asked for."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield for each ScaledObject how long ago it was asked for; a day later it is gone."""
        now = self._clock.monotonic()
        family = GaugeMetricFamily(
            f"{self._prefix}_{names.SCALER_LAST_CALL_AGE}",
            "How long ago KEDA last asked for a ScaledObject",
            labels=[names.NAMESPACE, names.NAME],
        )
        for called, at in list(self._called.items()):
            if now - at > _FORGOTTEN_AFTER_SECONDS:
                self._called.pop(called, None)  # another scrape may run beside this one
            else:
                family.add_metric(list(called), now - at)
        yield family
