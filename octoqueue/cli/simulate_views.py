"""What `octoqueue simulate` shows of its reports: to a person, and to a machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from octoqueue.cli.moments import moment
from octoqueue.cli.output import answers, print_table
from octoqueue.scaling.decision import Decision
from octoqueue.scaling.simulator.comparing import difference, seconds_in_words
from octoqueue.scaling.simulator.fleets import Durations
from octoqueue.scaling.simulator.report import Report

_ROWS: Final[tuple[tuple[str, Callable[[Report], str]], ...]] = (
    ("minutes met", lambda report: f"{report.attainment:.2%}"),
    ("work within objective", lambda report: f"{report.work_within:.2%}"),
    ("wait, half of the work", lambda report: seconds_in_words(report.wait_p50_seconds)),
    ("wait, 95 %", lambda report: seconds_in_words(report.wait_p95_seconds)),
    ("wait, 99 %", lambda report: seconds_in_words(report.wait_p99_seconds)),
    ("wait, longest", lambda report: seconds_in_words(report.wait_longest_seconds)),
    ("longest violation", lambda report: f"{report.longest_violation_minutes} min"),
    ("worker-hours", lambda report: f"{report.worker_hours:.1f}"),
    ("  of perfect knowledge's", lambda report: f"{report.hours_ratio:.3f}x"),
    ("cost", lambda report: f"{report.cost:.2f}" if report.cost else "-"),
    ("direction changes an hour", lambda report: f"{report.direction_changes_per_hour:.2f}"),
    ("resizes an hour", lambda report: f"{report.resizes_per_hour:.2f}"),
    ("messages", lambda report: f"{report.messages:.0f}"),
    ("  run again", lambda report: f"{report.redone_messages:.0f}"),
    ("work left at the end", lambda report: seconds_in_words(report.left_work_seconds)),
)


def print_reports(reports: Sequence[Report], *, service: Durations, shown: int) -> None:
    """Write the reports as a table, and in words what differs."""
    first, console = reports[0], answers()
    hours = first.duration_seconds / 3600
    console.print(
        f"{first.trace}: {hours:.1f} h, messages of {seconds_in_words(service.mean_seconds)}, "
        f"a load of {first.minutes.load.mean():.2f} workers on average and "
        f"{first.minutes.load.max():.1f} at most; objective {first.objective_seconds:g} s",
        markup=False,
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for report in reports:
        table.add_column(escape(report.rule), justify="right", no_wrap=True)
    for name, cell in _ROWS:
        table.add_row(name, *(cell(report) for report in reports))
    print_table(table)
    for other in reports[1:]:
        console.print(difference(first, other), markup=False, soft_wrap=True)
    for report in reports:
        for warning in report.warnings:
            console.print(f"{report.rule} warns: {warning}", markup=False, soft_wrap=True)
        for decision in _last(report, shown):
            console.print(
                f"{moment(decision.at_ms)}  {decision.reason}", markup=False, soft_wrap=True
            )


def document(
    reports: Sequence[Report], *, failed: Sequence[str], service: Durations, shown: int
) -> dict[str, Any]:
    """Return the same for a machine; what is infinite is null."""
    first = reports[0]
    return {
        "trace": first.trace,
        "duration_seconds": first.duration_seconds,
        "objective_seconds": first.objective_seconds,
        "service_seconds": service.mean_seconds,
        "service_squared_variation": service.squared_variation,
        "mean_load_workers": float(first.minutes.load.mean()),
        "clairvoyant_hours": first.clairvoyant_hours,
        "rules": [_rule(report, shown) for report in reports],
        "differences": [difference(first, other) for other in reports[1:]],
        "requirements_failed": list(failed),
    }


def _rule(report: Report, shown: int) -> dict[str, Any]:
    return {
        "rule": report.rule,
        "attainment": report.attainment,
        "work_within": report.work_within,
        "wait_p50_seconds": _finite(report.wait_p50_seconds),
        "wait_p95_seconds": _finite(report.wait_p95_seconds),
        "wait_p99_seconds": _finite(report.wait_p99_seconds),
        "wait_mean_seconds": _finite(report.wait_mean_seconds),
        "wait_longest_seconds": _finite(report.wait_longest_seconds),
        "longest_violation_minutes": report.longest_violation_minutes,
        "worker_hours": report.worker_hours,
        "hours_ratio": report.hours_ratio,
        "cost": report.cost,
        "direction_changes_per_hour": report.direction_changes_per_hour,
        "resizes_per_hour": report.resizes_per_hour,
        "messages": report.messages,
        "redone_messages": report.redone_messages,
        "left_work_seconds": report.left_work_seconds,
        "unread_syncs": report.unread_syncs,
        "warnings": list(report.warnings),
        "decisions": [
            {"at": moment(each.at_ms), "workers": each.workers, "reason": each.reason}
            for each in _last(report, shown)
        ],
    }


def _last(report: Report, shown: int) -> Sequence[Decision]:
    return report.decisions[-shown:] if shown else ()


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
