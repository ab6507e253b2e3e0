"""`ScalingMeter`: counts what is decided, by the names of the platform's scaling guide."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from octoqueue.telemetry import names

if TYPE_CHECKING:
    from octoqueue.primitives.signals import FleetSnapshot
    from octoqueue.scaling.decision import Decision
    from octoqueue.scaling.wishes import Lead

LAG_BUCKETS_SECONDS = (10, 30, 60, 120, 180, 300)
"""Those of the scaling guide."""


class ScalingMeter:
    """Is told what is decided, and keeps count. A component is a fleet."""

    def __init__(self, registry: CollectorRegistry, *, prefix: str = names.PREFIX) -> None:
        of_component = [names.COMPONENT]
        self._decisions = Counter(
            f"{prefix}_{names.SCALING_DECISION}",
            "Decisions, by what they want of a fleet",
            [names.COMPONENT, names.DIRECTION],
            registry=registry,
        )
        self._readings = Counter(
            f"{prefix}_{names.SCALING_READING}",
            "Whether the signals of a fleet could be read",
            [names.COMPONENT, names.OUTCOME],
            registry=registry,
        )
        self._wanted = Gauge(
            f"{prefix}_{names.WANTED_WORKERS}",
            "Workers that were decided on last",
            of_component,
            registry=registry,
        )
        self._replicas = Gauge(
            f"{prefix}_{names.POD_REPLICAS}",
            "Workers of a fleet that are alive",
            of_component,
            registry=registry,
        )
        self._skill = Gauge(
            f"{prefix}_{names.FORECAST_SKILL}",
            "1 - error of forecasts / error of a plain answer: as many as now, as a week ago",
            [names.COMPONENT, names.AGAINST],
            registry=registry,
        )
        self._forecast_age = Gauge(
            f"{prefix}_{names.FORECAST_AGE}",
            "Time since the forecast was made",
            of_component,
            registry=registry,
        )
        self._lag = Histogram(
            f"{prefix}_{names.SCALING_LAG}",
            "Time from a wish for more workers to their being ready",
            of_component,
            buckets=LAG_BUCKETS_SECONDS,
            registry=registry,
        )

    def decided(self, decision: Decision, snapshot: FleetSnapshot) -> None:
        """Count a decision; its direction is against the workers that claim now."""
        there = snapshot.ready_workers
        if decision.workers > there:
            direction = "up"
        else:
            direction = "down" if decision.workers < there else "none"
        self._decisions.labels(decision.fleet, direction).inc()
        self._readings.labels(decision.fleet, "read").inc()
        self._wanted.labels(decision.fleet).set(decision.workers)
        own = sum(worker.fleet in {decision.fleet, ""} for worker in snapshot.workers)
        self._replicas.labels(decision.fleet).set(own)
        forecast = snapshot.forecast
        if forecast is None:
            self._tell_no_forecast(decision.fleet)
            return
        age_ms = max(0, decision.at_ms - forecast.made_at_ms)
        self._forecast_age.labels(decision.fleet).set(age_ms / 1000)
        self._skill.labels(decision.fleet, "now").set(forecast.skill_against_now)
        if forecast.scored_beside_week:
            self._skill.labels(decision.fleet, "week").set(forecast.skill_against_last_week)

    def held(self, decision: Decision) -> None:
        """Count an answer that stands in for a decision."""
        self._readings.labels(decision.fleet, "held").inc()

    def unreadable(self, fleet: str) -> None:
        """Count an error, and tell no workers any more: an old number is not a number."""
        self._readings.labels(fleet, "unreadable").inc()
        for gauge in (self._wanted, self._replicas):
            gauge.labels(fleet).set(float("nan"))
        self._tell_no_forecast(fleet)

    def came_true(self, fleet: str, lead: Lead) -> None:
        """Count how long a wish for more workers took."""
        self._lag.labels(fleet).observe(lead.seconds)

    def _tell_no_forecast(self, fleet: str) -> None:
        with suppress(KeyError):
            self._forecast_age.remove(fleet)
        for plain in ("now", "week"):
            with suppress(KeyError):
                self._skill.remove(fleet, plain)
