"""The picture of a simulation: load and workers above, waiting time below.

It stands on matplotlib (extra `plots`), which is loaded when a picture is drawn and not before.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from octoqueue.scaling.simulator.report import Report

SUFFIXES = (".png", ".svg")
_COLOURS = ("#1b6ca8", "#c1440e", "#3c7a3c", "#7a4b9c")
_MOST_POINTS = 3_000


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
    for report, colour in zip(reports, _COLOURS, strict=False):
        minutes = report.minutes
        above.step(
            moments,
            _largest(minutes.workers, bucket),
            where="post",
            color=colour,
            linewidth=1,
            label=f"{report.rule}: {report.worker_hours:.0f} h, {report.attainment:.2%}",
        )
        waits = np.nan_to_num(minutes.longest_wait_seconds, nan=0.0, posinf=np.nan)
        below.step(moments, _largest(waits, bucket), where="post", color=colour, linewidth=1)
    below.axhline(first.objective_seconds, color="black", linewidth=0.8, linestyle="--")
    below.set_yscale("symlog", linthresh=max(first.objective_seconds, 0.1))
    below.set_ylim(bottom=0)
    above.set_ylabel("workers")
    below.set_ylabel("longest wait of each minute, s")
    above.set_title(f"{first.trace}, objective {first.objective_seconds:g} s", fontsize=10)
    above.legend(loc="upper left", fontsize=8)
    for axes in (above, below):
        axes.grid(visible=True, color="#dddddd", linewidth=0.5)
    figure.autofmt_xdate()
    figure.tight_layout()
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    figure.savefig(path, dpi=130, metadata=metadata)


def _largest(values: np.ndarray[Any, np.dtype[np.float64]], bucket: int) -> Any:  # noqa: ANN401 - goes to matplotlib
    """Return the largest of each `bucket` values."""
    padded = np.pad(values, (0, -len(values) % bucket), mode="edge")
    return padded.reshape(-1, bucket).max(axis=1)
