"""What came of it, in numbers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from octoqueue.cli.demo.fleets import Resized
from octoqueue.cli.demo.goals import SAMPLES
from octoqueue.cli.demo.tally import Done, Tally

LANES: Final = {"high": "high", "normal": "medium", "low": "low"}
"""Lane to the priority that leads to it, first claimed first."""

QUANTILES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def quantile(values: Sequence[float], q: float) -> float | None:
    """Return the smallest of `values` that at least the share `q` does not exceed."""
    if not values:
        return None
    return sorted(values)[max(ceil(q * len(values)), 1) - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSummary:
    """The tasks of one lane."""

    lane: str
    tasks: int
    accept_to_done: dict[str, float | None]
    """Seconds, by the name of the quantile."""
    enqueue_to_start: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All tasks."""

    wanted: int
    accepted: int
    completed: int
    failed: int
    refused: int
    seconds: float
    """From the first one accepted to the last one finished."""
    lanes: tuple[LaneSummary, ...]
    samples: tuple[Done, ...]
    """For each sample goal, the first that was completed."""
    failures: tuple[Done, ...]
    resized: tuple[Resized, ...] = ()
    """How the fleets grew and shrank."""
    has_shrunk: bool = True
    """Whether they had become as small as they may be before everything was stopped."""

    @property
    def succeeded(self) -> bool:
        """Whether every task was accepted and every accepted task completed."""
        return self.wanted == self.accepted == self.completed

    @property
    def tasks_per_second(self) -> float:
        """Throughput from end to end."""
        return self.completed / self.seconds if self.seconds else 0.0


def summary_of(tally: Tally) -> Summary:
    """Return the numbers of a tally."""
    done = tally.done
    span = 0.0
    if done:
        first = min(each.accepted_at for each in done)
        span = (max(each.finished_at for each in done) - first).total_seconds()
    return Summary(
        wanted=tally.wanted,
        accepted=tally.accepted,
        completed=tally.completed,
        failed=tally.failed,
        refused=tally.refused,
        seconds=span,
        lanes=tuple(_lane(lane, done) for lane in LANES),
        samples=tuple(_first_completed(done)),
        failures=tuple(each for each in done if not each.completed),
    )


def _lane(lane: str, done: Sequence[Done]) -> LaneSummary:
    mine = [each for each in done if each.goal.priority == LANES[lane]]
    totals = [each.total_seconds for each in mine if each.completed]
    waits = [each.queued_seconds for each in mine if each.queued_seconds is not None]
    return LaneSummary(
        lane=lane,
        tasks=len(mine),
        accept_to_done={name: quantile(totals, q) for name, q in QUANTILES.items()},
        enqueue_to_start={name: quantile(waits, q) for name, q in QUANTILES.items()},
    )


def _first_completed(done: Sequence[Done]) -> list[Done]:
    first = {each.goal: each for each in reversed(done) if each.completed}
    return [first[goal] for goal in SAMPLES if goal in first]


def document(summary: Summary) -> dict[str, Any]:
    """Return the summary for a machine."""
    return {
        "succeeded": summary.succeeded,
        "tasks": summary.wanted,
        "accepted": summary.accepted,
        "completed": summary.completed,
        "failed": summary.failed,
        "refused_429": summary.refused,
        "seconds": round(summary.seconds, 3),
        "tasks_per_second": round(summary.tasks_per_second, 1),
        "lanes": {
            lane.lane: {
                "tasks": lane.tasks,
                "accept_to_done_seconds": lane.accept_to_done,
                "enqueue_to_start_seconds": lane.enqueue_to_start,
            }
            for lane in summary.lanes
        },
        "decisions": [
            {
                "after_seconds": round(each.after_seconds, 1),
                "fleet": each.fleet,
                "from": each.before,
                "to": each.after,
                "reason": each.reason,
            }
            for each in summary.resized
        ],
        "has_shrunk": summary.has_shrunk,
        "samples": [_task(each) | {"result": each.result} for each in summary.samples],
        "failures": [_task(each) | {"error": each.error} for each in summary.failures],
    }


def _task(done: Done) -> dict[str, Any]:
    return {
        "task_id": done.task_id,
        "goal": done.goal.text,
        "priority": done.goal.priority,
        "arm": done.arm,
        "total_seconds": done.total_seconds,
    }
