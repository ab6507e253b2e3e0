"""`Report`: what a simulated fleet was worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from octoqueue.scaling.simulator.traces import MINUTE_SECONDS

if TYPE_CHECKING:
    from octoqueue.scaling.decision import Decision
    from octoqueue.scaling.simulator.crew import SizeLog
    from octoqueue.scaling.simulator.traces import Floats
    from octoqueue.scaling.simulator.waits import Waits

_NOTHING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Minutes:
    """The run minute by minute."""

    load: Floats
    """Workers that its arrivals keep busy."""
    workers: Floats
    """Worker-minutes of those that are paid: ready, starting, draining."""
    longest_wait_seconds: Floats
    """Of what arrived in it; NaN where nothing did, infinite for what was never done."""
    clairvoyant_workers: Floats
    """Worker-minutes of the smallest fleet with perfect knowledge: load + 1, rounded up."""

    def met(self, seconds: float, *, first: int = 0, last: int | None = None) -> float:
        """Return the share of the minutes with work whose work waited at most `seconds`."""
        waits = self.longest_wait_seconds[first:last]
        waits = waits[~np.isnan(waits)]
        return float((waits <= seconds + _NOTHING).mean()) if len(waits) else 1.0

    def worker_hours(self, *, first: int = 0, last: int | None = None) -> float:
        """Return what was paid."""
        return float(self.workers[first:last].sum()) / 60

    def clairvoyant_hours(self, *, first: int = 0, last: int | None = None) -> float:
        """Return what perfect knowledge would have paid."""
        return float(self.clairvoyant_workers[first:last].sum()) / 60

    def hours_ratio(self, *, first: int = 0, last: int | None = None) -> float:
        """Return what was paid in units of what perfect knowledge would have paid."""
        clairvoyant = self.clairvoyant_hours(first=first, last=last)
        return self.worker_hours(first=first, last=last) / clairvoyant if clairvoyant else 0.0

    def longest_violation(self, seconds: float) -> int:
        """Return the most minutes in a row whose work waited longer than `seconds`."""
        longest = run = 0
        for is_late in (self.longest_wait_seconds > seconds + _NOTHING).tolist():
            run = run + 1 if is_late else 0
            longest = max(longest, run)
        return longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of one rule on one trace."""

    rule: str
    trace: str
    duration_seconds: float
    objective_seconds: float
    attainment: float
    """Share of the minutes with work in which no work waited longer than the objective."""
    work_within: float
    """Share of the messages that waited no longer."""
    wait_p50_seconds: float
    wait_p95_seconds: float
    wait_p99_seconds: float
    wait_mean_seconds: float
    wait_longest_seconds: float
    """Infinite when something was never started."""
    worker_hours: float
    clairvoyant_hours: float
    direction_changes_per_hour: float
    """How often the fleet turned from growing to shrinking, or back."""
    resizes_per_hour: float
    longest_violation_minutes: int
    cost: float
    messages: float
    redone_messages: float
    """Done again because their worker died."""
    left_work_seconds: float
    """Work that was not done when the trace ended."""
    unread_syncs: int
    """Syncs without a decision, as the signals could not be read."""
    minutes: Minutes
    decisions: tuple[Decision, ...] = ()
    """A sample, when the rule decides by a policy."""
    warnings: tuple[str, ...] = ()

    @property
    def hours_ratio(self) -> float:
        """Worker-hours in units of those of perfect knowledge."""
        return self.worker_hours / self.clairvoyant_hours if self.clairvoyant_hours else 0.0


def report_from(
    waits: Waits,
    *,
    sizes: SizeLog,
    paid: SizeLog,
    rule: str,
    trace: str,
    duration_seconds: float,
    objective_seconds: float,
    loads: Floats,
    clairvoyant: Floats,
    cost_per_worker_hour: float,
    messages: float,
    redone_messages: float,
    left_work_seconds: float,
    unread_syncs: int = 0,
    decisions: tuple[Decision, ...] = (),
    warnings: tuple[str, ...] = (),
) -> Report:
    """Return the report of a run.

    Args:
        waits: Of all work.
        sizes: What was asked for.
        paid: What was paid: those that start or drain, too.
        rule: What decided.
        trace: What arrived.
        duration_seconds: How long it lasted.
        objective_seconds: How long work may wait.
        loads: In workers, a minute each.
        clairvoyant: Worker-minutes of the smallest fleets, a minute each.
        cost_per_worker_hour: In any unit.
        messages: How many arrived.
        redone_messages: How many ran more than once.
        left_work_seconds: What was not done at the end.
        unread_syncs: How often nothing could be read.
        decisions: A sample.
        warnings: What the policy warned of.
    """
    count = len(loads)
    workers = mean_sizes(paid, count=count, duration_seconds=duration_seconds)
    minutes = Minutes(
        load=loads,
        workers=workers,
        longest_wait_seconds=waits.longest_per_step(MINUTE_SECONDS, count),
        clairvoyant_workers=clairvoyant,
    )
    hours = duration_seconds / 3600
    worker_hours = minutes.worker_hours()
    turns, resizes = _turns(sizes.sizes())
    return Report(
        rule=rule,
        trace=trace,
        duration_seconds=duration_seconds,
        objective_seconds=objective_seconds,
        attainment=minutes.met(objective_seconds),
        work_within=waits.share_within(objective_seconds),
        wait_p50_seconds=waits.percentile_seconds(0.5),
        wait_p95_seconds=waits.percentile_seconds(0.95),
        wait_p99_seconds=waits.percentile_seconds(0.99),
        wait_mean_seconds=waits.mean_seconds,
        wait_longest_seconds=waits.longest_seconds,
        worker_hours=worker_hours,
        clairvoyant_hours=minutes.clairvoyant_hours(),
        direction_changes_per_hour=turns / hours if hours else 0.0,
        resizes_per_hour=resizes / hours if hours else 0.0,
        longest_violation_minutes=minutes.longest_violation(objective_seconds),
        cost=worker_hours * cost_per_worker_hour,
        messages=messages,
        redone_messages=redone_messages,
        left_work_seconds=left_work_seconds,
        unread_syncs=unread_syncs,
        minutes=minutes,
        decisions=decisions,
        warnings=warnings,
    )


def mean_sizes(log: SizeLog, *, count: int, duration_seconds: float) -> Floats:
    """Return the worker-minutes of each minute: the last one may be shorter than a minute."""
    at, sizes = log.at_seconds(), log.sizes()
    ends = np.append(at[1:], max(duration_seconds, at[-1]))
    paid = np.concatenate(([0.0], np.cumsum(sizes * (ends - at))))
    moments = np.append(at, ends[-1])
    edges = np.minimum(np.arange(count + 1) * MINUTE_SECONDS, duration_seconds)
    paid_until: Floats = np.interp(edges, moments, paid)
    return np.asarray(np.diff(paid_until) / MINUTE_SECONDS, dtype=np.float64)


def _turns(sizes: Floats) -> tuple[int, int]:
    """Return how often growth turned into shrinking or back, and how often the size changed."""
    changes = np.diff(sizes)
    signs = np.sign(changes[changes != 0])
    return int((np.diff(signs) != 0).sum()), len(signs)
