"""Thresholds: what a report must keep, for continuous integration.

    attainment>=99.5%    worker-hours<=1.1x    wait-p95<=5s    flaps<=6    longest-violation<=10m

`x` is in units of what perfect knowledge would have paid; times take ms, s, m or h.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.scaling.simulator.report import Report

Unit = Literal["share", "seconds", "hours", "number"]

_METRICS: dict[str, tuple[Unit, Callable[[Report], float]]] = {
    "attainment": ("share", lambda report: report.attainment),
    "messages-within": ("share", lambda report: report.work_within),
    "wait-p50": ("seconds", lambda report: report.wait_p50_seconds),
    "wait-p95": ("seconds", lambda report: report.wait_p95_seconds),
    "wait-p99": ("seconds", lambda report: report.wait_p99_seconds),
    "wait-mean": ("seconds", lambda report: report.wait_mean_seconds),
    "wait-longest": ("seconds", lambda report: report.wait_longest_seconds),
    "worker-hours": ("hours", lambda report: report.worker_hours),
    "flaps": ("number", lambda report: report.direction_changes_per_hour),
    "resizes": ("number", lambda report: report.resizes_per_hour),
    "longest-violation": ("seconds", lambda report: report.longest_violation_minutes * 60.0),
    "cost": ("number", lambda report: report.cost),
    "redone": ("number", lambda report: report.redone_messages),
}
_COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_FORM = re.compile(r"\s*([a-z0-9-]+)\s*(>=|<=|>|<)\s*([0-9]*\.?[0-9]+)\s*(%|x|ms|s|m|h)?\s*")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LITTLE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One bound for one number of a report."""

    text: str
    """As it was written."""
    metric: str
    comparison: str
    bound: float
    is_ratio: bool = False
    """In units of what perfect knowledge would have paid."""

    def failure(self, report: Report) -> str | None:
        """Return what failed, in a sentence; None when the report keeps it."""
        unit, read = _METRICS[self.metric]
        actual = report.hours_ratio if self.is_ratio else read(report)
        slack = _LITTLE if self.comparison in {"<=", "<"} else -_LITTLE
        bound = self.bound + slack * (len(self.comparison) - 1)
        if _COMPARISONS[self.comparison](actual, bound):
            return None
        said = f"{actual:.4g}x" if self.is_ratio else _said(actual, unit)
        return f"{report.rule}: {self.metric} is {said}, required is {self.text}"


def threshold_from(text: str) -> Threshold:
    """Return the threshold that a text writes.

    Raises:
        ValueError: it writes none; says what would be one.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no threshold; write e.g. attainment>=99.5%")
    metric, comparison, number, suffix = match.groups()
    if metric not in _METRICS:
        raise ValueError(f"{text!r}: no {metric!r}; there are {', '.join(_METRICS)}")
    unit = _METRICS[metric][0]
    allowed = {"share": {"%", None}, "seconds": {*_SECONDS, None}, "hours": {"x", "h", None}}
    if suffix not in allowed.get(unit, {None}):
        raise ValueError(f"{text!r}: {metric} is not measured in {suffix!r}")
    bound = float(number)
    if suffix == "%":
        bound /= 100
    elif unit == "seconds" and suffix is not None:
        bound *= _SECONDS[suffix]
    if unit == "share" and bound > 1:
        raise ValueError(f"{text!r}: a share is at most 1, or 100%")
    return Threshold(
        text=text.strip(),
        metric=metric,
        comparison=comparison,
        bound=bound,
        is_ratio=suffix == "x",
    )


def _said(actual: float, unit: Unit) -> str:
    if unit == "share":
        return f"{actual:.3%}"
    if unit == "seconds":
        return f"{actual:.4g} s"
    return f"{actual:.4g}"
