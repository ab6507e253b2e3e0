"""Rules to compare a policy with: the plain ones, what Kubernetes offers, and perfect knowledge."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from octoqueue.scaling.simulator.traces import MINUTE_SECONDS, RequestTrace

if TYPE_CHECKING:
    from octoqueue.scaling.simulator.traces import Floats, Trace
    from octoqueue.scaling.simulator.views import View

_SHORTEST = 1e-3
"""Of a minute: a trace that ends within it tells no rate of a shorter time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """Always the same."""

    workers: int

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"static {self.workers}"

    def wanted(self, view: View) -> float:  # noqa: ARG002 - it looks at nothing
        """Return the same number."""
        return self.workers


@dataclass(slots=True, kw_only=True)
class TrailingMaximum:
    """The largest load of any minute within the last k minutes, times h, plus b."""

    minutes: int
    headroom: float = 1.0
    spare_workers: float = 0.0
    _seen: deque[tuple[float, float]] = field(
        default_factory=deque[tuple[float, float]], init=False, repr=False
    )
    """Moments and loads that may still become the largest, falling."""

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"max of {self.minutes} min x {self.headroom:g} + {self.spare_workers:g}"

    def wanted(self, view: View) -> float:
        """Return it, from the minutes that end at each of its calls."""
        now, load, seen = view.now_seconds, view.load(MINUTE_SECONDS), self._seen
        oldest = now - (self.minutes - 1) * MINUTE_SECONDS
        while seen and seen[-1][1] <= load:
            seen.pop()
        seen.append((now, load))
        while seen[0][0] < oldest - 1e-6:
            seen.popleft()
        return seen[0][1] * self.headroom + self.spare_workers


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """As KEDA's scalers for queues: messages divided by a target for each worker."""

    messages_per_worker: float
    counts_running: bool = True
    """Whether messages that run count, too."""

    @property
    def name(self) -> str:
        """What reports call it."""
        what = "waiting and running" if self.counts_running else "waiting"
        return f"depth {self.messages_per_worker:g} {what}"

    def wanted(self, view: View) -> float:
        """Return it."""
        messages = view.waiting() + (view.in_flight() if self.counts_running else 0.0)
        return messages / self.messages_per_worker


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuUtilization:
    """As an HPA on CPU: the ready workers times their utilisation over its target."""

    target: float = 0.7

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"cpu {self.target * 100:.3g}%"

    def wanted(self, view: View) -> float:
        """Return it. What starts counts as idle, but does not turn growth into shrinking."""
        if view.ready == 0:
            return max(view.workers, 1)
        ratio = view.utilization() / self.target
        return max(ratio * view.ready, view.workers) if ratio > 1 else ratio * view.ready


class Clairvoyant:
    """Knows the future: what the coming minutes take at most, until a worker asked for is ready."""

    name = "clairvoyant"

    def __init__(
        self, trace: Trace, *, service_seconds: float, slots: int = 1, lead_seconds: float = 0.0
    ) -> None:
        """Look at all of the trace.

        Args:
            trace: what will arrive.
            service_seconds: mean service time where the trace tells none.
            slots: of a worker.
            lead_seconds: how far ahead it must ask; its workers of that time are kept as well.
        """
        self._workers = smallest_fleets(trace, service_seconds=service_seconds, slots=slots)
        self._lead_seconds = lead_seconds

    def wanted(self, view: View) -> float:
        """Return the largest of the smallest fleets from now to the lead's end."""
        first = int(view.now_seconds // MINUTE_SECONDS)
        last = int((view.now_seconds + self._lead_seconds) // MINUTE_SECONDS)
        return float(self._workers[first : max(last, first) + 1].max(initial=0.0))


def smallest_fleets(trace: Trace, *, service_seconds: float, slots: int = 1) -> Floats:
    """Return for each minute its load in workers, and one more, rounded up."""
    return np.ceil(minute_loads(trace, service_seconds=service_seconds, slots=slots) + 1 - 1e-9)


def minute_loads(trace: Trace, *, service_seconds: float, slots: int = 1) -> Floats:
    """Return how many workers the arrivals of each minute keep busy; the last may be shorter."""
    steps = trace.in_steps() if isinstance(trace, RequestTrace) else trace
    work = steps.work_seconds(service_seconds)
    per_minute = MINUTE_SECONDS / steps.step_seconds
    if per_minute > 1:
        whole = round(per_minute)
        padded = np.pad(work, (0, -len(work) % whole))
        work = padded.reshape(-1, whole).sum(axis=1)
    elif per_minute < 1:
        repeats = math.ceil(1 / per_minute)
        work = np.repeat(work / repeats, repeats)
    return work / (MINUTE_SECONDS * minute_lengths(len(work), trace.duration_seconds)) / slots


def minute_lengths(count: int, duration_seconds: float) -> Floats:
    """Return how much of each minute a trace lasts: all of it, but perhaps of the last."""
    lengths = np.ones(count)
    if count:
        last_seconds = duration_seconds - (count - 1) * MINUTE_SECONDS
        lengths[-1] = min(max(last_seconds / MINUTE_SECONDS, _SHORTEST), 1.0)
    return lengths
