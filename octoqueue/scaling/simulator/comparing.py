"""The difference between two reports, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from octoqueue.scaling.simulator.report import Report

_ALIKE = 0.0005


def difference(report: Report, other: Report) -> str:
    """Return what one rule does better or worse than another, in a few sentences."""
    name, than = report.rule, other.rule
    return " ".join(
        (
            f"{name} {_attained(report, other)}, and {_paid(report, other)} than {than}.",
            f"Of its work 99 % {_waited(report, other)}; {_turned(report, other)}.",
            _verdict(report, other),
        )
    ).strip()


def _attained(report: Report, other: Report) -> str:
    if abs(report.attainment - other.attainment) < _ALIKE:
        return f"meets as many minutes ({report.attainment:.2%})"
    more = "more" if report.attainment > other.attainment else "fewer"
    return f"meets {more} minutes ({report.attainment:.2%} instead of {other.attainment:.2%})"


def _paid(report: Report, other: Report) -> str:
    if not other.worker_hours:
        return f"pays {report.worker_hours:.1f} worker-hours more"
    change = report.worker_hours / other.worker_hours - 1
    if abs(change) < _ALIKE:
        return "pays no fewer worker-hours"
    return f"pays {abs(change):.1%} {'more' if change > 0 else 'fewer'} worker-hours"


def _waited(report: Report, other: Report) -> str:
    return (
        f"waited no longer than {seconds_in_words(report.wait_p99_seconds)} "
        f"instead of {seconds_in_words(other.wait_p99_seconds)}"
    )


def _turned(report: Report, other: Report) -> str:
    return (
        f"its fleet turned round {report.direction_changes_per_hour:.2g} times an hour "
        f"instead of {other.direction_changes_per_hour:.2g}"
    )


def _verdict(report: Report, other: Report) -> str:
    """Return which of the two is better in attainment and in hours, if one is."""
    keeps = report.attainment - other.attainment
    saves = other.worker_hours - report.worker_hours
    if abs(keeps) < _ALIKE or abs(saves) < _ALIKE * other.worker_hours:
        return ""
    if keeps > 0 < saves:
        return f"{report.rule} is better in both."
    return f"{other.rule} is better in both." if keeps < 0 > saves else ""


def seconds_in_words(seconds: float) -> str:
    """Return a time as a person reads it; what never came is `for ever`."""
    if math.isinf(seconds):
        return "for ever"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:  # noqa: PLR2004 - two minutes, from which on minutes say more
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min"
