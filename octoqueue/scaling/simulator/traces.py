"""Traces: what arrived, and when; and the same with more or less of it.

StepTrace     so many messages in each step of equal length, e.g. a minute
RequestTrace  the moment of each message, perhaps with its service time and lane
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"
Integers: TypeAlias = "NDArray[np.int64]"

MINUTE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTrace:
    """How many messages arrived in each step, evenly within it."""

    name: str
    starts_at_ms: int
    """Wall time of the first step's beginning: forecasts know hours and days of the week."""
    step_seconds: float
    messages: Floats
    """May be fractions, once they are scaled."""
    service_seconds: Floats | None = None
    """Mean service time of what arrives in each step; None when the trace does not tell."""

    @property
    def duration_seconds(self) -> float:
        """How long it lasts."""
        return len(self.messages) * self.step_seconds

    def work_seconds(self, service_seconds: float) -> Floats:
        """Return the work that arrives in each step; `service_seconds` where it tells none."""
        if self.service_seconds is None:
            return self.messages * service_seconds
        return self.messages * self.service_seconds

    def scaled_to(self, load: float, *, service_seconds: float) -> StepTrace:
        """Return it with so many messages that `load` slots are busy on average."""
        mean_load = float(self.work_seconds(service_seconds).sum()) / self.duration_seconds
        if mean_load <= 0:
            return self
        return replace(self, messages=self.messages * (load / mean_load))

    def between(self, first_seconds: float, last_seconds: float) -> StepTrace:
        """Return the whole steps between two moments, counted from its beginning."""
        first = int(first_seconds // self.step_seconds)
        last = int(last_seconds // self.step_seconds)
        return replace(
            self,
            starts_at_ms=self.starts_at_ms + round(first * self.step_seconds * 1000),
            messages=self.messages[first:last],
            service_seconds=(
                None if self.service_seconds is None else self.service_seconds[first:last]
            ),
        )

    def as_requests(self, *, generator: np.random.Generator) -> RequestTrace:
        """Return single messages at random moments of their steps.

        A fraction of a message is a message with that probability.
        """
        whole = np.floor(self.messages)
        counts = whole.astype(np.int64)
        counts += generator.random(len(counts)) < self.messages - whole
        steps = np.repeat(np.arange(len(counts)), counts)
        moments = (steps + generator.random(len(steps))) * self.step_seconds
        order = np.argsort(moments, kind="stable")
        known = None if self.service_seconds is None else self.service_seconds[steps][order]
        return RequestTrace(
            name=self.name,
            starts_at_ms=self.starts_at_ms,
            duration_seconds=self.duration_seconds,
            arrived_seconds=moments[order],
            service_seconds=known,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTrace:
    """When each message arrived."""

    name: str
    starts_at_ms: int
    duration_seconds: float
    arrived_seconds: Floats
    """Since the beginning, in order."""
    service_seconds: Floats | None = None
    """How long each runs; None when the trace does not tell."""
    lanes: Integers | None = None
    """Wire value of each message's lane; None: all are in one."""
    mean_service_seconds: float | None = None
    """What was measured when the single times are not known; None when it was not."""
    squared_variation: float | None = None
    """Of the same: variance over mean squared."""

    def scaled_to(self, load: float, *, service_seconds: float, seed: int = 0) -> RequestTrace:
        """Return it with so much more or less work that `load` slots are busy on average.

        Known service times are stretched. Else each message is kept with a probability, or repeated
        within a second, as a fraction with a probability.
        """
        if self.service_seconds is not None:
            total = float(self.service_seconds.sum())
            if total <= 0:
                return self
            factor = load * self.duration_seconds / total
            return replace(self, service_seconds=self.service_seconds * factor)
        count = len(self.arrived_seconds)
        if count == 0 or service_seconds <= 0:
            return self
        factor = load * self.duration_seconds / (count * service_seconds)
        generator = np.random.default_rng(seed)
        whole = int(factor)
        copies = whole + (generator.random(count) < factor - whole)
        moments = np.repeat(self.arrived_seconds, copies)
        if whole:
            moments = np.minimum(moments + generator.random(len(moments)), self.duration_seconds)
        order = np.argsort(moments, kind="stable")
        return replace(
            self,
            arrived_seconds=moments[order],
            lanes=None if self.lanes is None else np.repeat(self.lanes, copies)[order],
        )

    def between(self, first_seconds: float, last_seconds: float) -> RequestTrace:
        """Return what arrived between two moments, counted from its beginning."""
        first, last = np.searchsorted(self.arrived_seconds, (first_seconds, last_seconds))
        return replace(
            self,
            starts_at_ms=self.starts_at_ms + round(first_seconds * 1000),
            duration_seconds=min(last_seconds, self.duration_seconds) - first_seconds,
            arrived_seconds=self.arrived_seconds[first:last] - first_seconds,
            service_seconds=(
                None if self.service_seconds is None else self.service_seconds[first:last]
            ),
            lanes=None if self.lanes is None else self.lanes[first:last],
        )

    def in_steps(self, step_seconds: float = MINUTE_SECONDS) -> StepTrace:
        """Return how many arrived in each step, with their mean service time."""
        steps = max(1, int(np.ceil(self.duration_seconds / step_seconds - 1e-9)))
        step_of = np.minimum((self.arrived_seconds // step_seconds).astype(np.int64), steps - 1)
        counts = np.bincount(step_of, minlength=steps).astype(np.float64)
        means: Floats | None = None
        if self.service_seconds is not None:
            work = np.bincount(step_of, weights=self.service_seconds, minlength=steps)
            means = np.divide(work, counts, out=np.zeros(steps), where=counts > 0)
        return StepTrace(
            name=self.name,
            starts_at_ms=self.starts_at_ms,
            step_seconds=step_seconds,
            messages=counts,
            service_seconds=means,
        )


Trace: TypeAlias = StepTrace | RequestTrace


def messages_in(trace: Trace) -> float:
    """Return how many messages a trace has."""
    if isinstance(trace, StepTrace):
        return float(trace.messages.sum())
    return float(len(trace.arrived_seconds))


def service_for(trace: Trace, *, load: float) -> float:
    """Return the mean service time with which a trace as it is keeps `load` slots busy.

    Raises:
        ValueError: it has no messages.
    """
    count = messages_in(trace)
    if count <= 0:
        raise ValueError(f"{trace.name}: nothing arrives, so no service time makes a load of it")
    return load * trace.duration_seconds / count
