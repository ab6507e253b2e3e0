"""The picture of a simulation: load and workers above, waiting time below.

It stands on matplotlib (extra `plots`), which is loaded when a picture is drawn and not before.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from octoqueue.scaling.simulator.report import Report

SUFFIXES = (".png", ".svg")
_COLOURS = ("#1b6ca8", "#c1440e", "#3c7a3c", "#7a4b9c")
_MOST_POINTS = 3_000
_PICTURED = 2.5
"""Of what the first rule takes: a rule that takes far more would make a flat line of it."""


def draw(reports: Sequence[Report], path: Path, *, starts_at_ms: int) -> None:
    """Write the picture of some reports on one trace to a file, PNG or SVG by its suffix.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow, and only a picture needs it

    figure: Any = Figure(figsize=(11, 6.5))
    above, below = figure.subplots(2, 1, sharex=True)
    first = reports[0]
    begin = datetime.fromtimestamp(starts_at_ms / 1000, UTC)
    bucket = max(1, -(-len(first.minutes.load) // _MOST_POINTS))
    moments = [
        begin + timedelta(minutes=minute) for minute in range(0, len(first.minutes.load), bucket)
    ]
    above.fill_between(
        moments, _largest(first.minutes.load, bucket), color="#b8b8b8", label="load", step="post"
    )
    most = _PICTURED * max(first.minutes.load.max(), first.minutes.workers.max(), 1.0)
    endless = _endless(reports, first.objective_seconds)
    for place, (report, colour) in enumerate(zip(reports, cycle(_COLOURS))):
        minutes, above_others = report.minutes, len(reports) - place + 1
        peak = float(minutes.workers.max())
        cut = f", up to {peak:.0f} workers" if peak > most else ""
        above.step(
            moments,
            _largest(minutes.workers, bucket),
            where="post",
            color=colour,
            linewidth=1,
            zorder=above_others,
            label=f"{report.rule}: {report.worker_hours:.0f} h, {report.attainment:.2%}{cut}",
        )
        waits = np.nan_to_num(minutes.longest_wait_seconds, nan=0.0, posinf=endless)
        below.step(
            moments,
            _largest(waits, bucket),
            where="post",
            color=colour,
            linewidth=1,
            zorder=above_others,
        )
    if any(report.minutes.workers.max() > most for report in reports):
        above.set_ylim(0, most)
    below.axhline(
        first.objective_seconds,
        color="black",
        linewidth=0.8,
        linestyle="--",
        zorder=len(reports) + 2,
    )
    below.set_yscale("symlog", linthresh=max(first.objective_seconds, 0.1))
    below.set_ylim(bottom=0)
    below.yaxis.set_major_formatter("{x:g}")
    above.set_ylabel("workers")
    below.set_ylabel("longest wait of each minute, s")
    above.set_title(f"{first.trace}, objective {first.objective_seconds:g} s, UTC", fontsize=10)
    above.legend(loc="upper left", fontsize=8)
    for axes in (above, below):
        axes.grid(visible=True, color="#dddddd", linewidth=0.5)
    figure.autofmt_xdate()
    figure.tight_layout()
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    figure.savefig(path, dpi=130, metadata=metadata)


def _endless(reports: Sequence[Report], objective_seconds: float) -> float:
    """Return where a wait that never ends is drawn: above all that do."""
    waits = np.concatenate([report.minutes.longest_wait_seconds for report in reports])
    return 2 * float(waits[np.isfinite(waits)].max(initial=objective_seconds))


def _largest(values: np.ndarray[Any, np.dtype[np.float64]], bucket: int) -> Any:  # noqa: ANN401 - goes to matplotlib
    """Return the largest of each `bucket` values."""
    padded = np.pad(values, (0, -len(values) % bucket), mode="edge")
    return padded.reshape(-1, bucket).max(axis=1)
