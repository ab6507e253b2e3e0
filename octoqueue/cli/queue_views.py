"""Queues as a machine and as a person reads them. Pure but for the console.

Rates come from two readings of the counters, percentiles from the wait histogram, right to about a
factor of two. Weakness: a message that is retried counts as in once and as out once, at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from octoqueue.cli.output import answers
from octoqueue.cli.reading import age_from
from octoqueue.primitives.histogram import percentile_ms
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import QueueStats

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

IN: Final = ("enqueued", "replayed")
"""Counters of what comes in."""
OUT: Final = ("acked", "dead", "cancelled", "withdrawn", "expired")
"""Counters of what is over, one way or another."""
_QUANTILES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
_UNFOLDED: Final = 10_000
_HEADERS: Final = (
    "queue", "high", "normal", "low", "oldest", "running", "in/s", "out/s",
    "P50 wait", "P95 wait", "delayed", "dead",
)  # fmt: skip
_DISPENSABLE: Final = ("P50 wait", "delayed", "in/s", "oldest", "P95 wait", "out/s")
"""What a narrow screen does without, in this order."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was true of a queue at a moment."""

    stats: QueueStats
    at_seconds: float
    """On the monotonic clock of this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """A queue now, and what became of it since an earlier reading."""

    stats: QueueStats
    in_per_second: float | None
    """None when it was read only once, or its counters began anew."""
    out_per_second: float | None
    waits: tuple[int, ...]
    """Claims a wait-time bucket, of the time the percentiles are about."""

    @property
    def is_busy(self) -> bool:
        """Whether anything waits, runs or moves."""
        return bool(self.stats.waiting or self.stats.in_flight or self.out_per_second)


def view_of(now: Reading, before: Reading | None = None, *, recent: bool = False) -> QueueView:
    """Return a queue as it is `now`, with the rates since `before`.

    Args:
        now: the last reading.
        before: an earlier one.
        recent: percentiles of the time since then, instead of all time.
    """
    waits = now.stats.waits
    if recent and before is not None:
        waits = tuple(
            max(count - earlier, 0)
            for count, earlier in zip(waits, before.stats.waits, strict=True)
        )
    return QueueView(
        stats=now.stats,
        in_per_second=_rate(now, before, IN),
        out_per_second=_rate(now, before, OUT),
        waits=waits,
    )


def _rate(now: Reading, before: Reading | None, names: Sequence[str]) -> float | None:
    if before is None or now.at_seconds <= before.at_seconds:
        return None
    moved = _total(now, names) - _total(before, names)
    return None if moved < 0 else moved / (now.at_seconds - before.at_seconds)


def _total(reading: Reading, names: Sequence[str]) -> int:
    return sum(reading.stats.counters.get(name, 0) for name in names)


def document(view: QueueView) -> dict[str, Any]:
    """Return what a machine is told of a queue."""
    stats = view.stats
    return {
        "queue": stats.queue,
        "paused": stats.paused,
        "waiting": {lane.label: stats.depth[lane] for lane in Lane},
        "oldest_age_seconds": stats.oldest_age_seconds,
        "in_flight": stats.in_flight,
        "delayed": stats.delayed,
        "dead": stats.dead,
        "in_per_second": _rounded(view.in_per_second),
        "out_per_second": _rounded(view.out_per_second),
        "wait_ms": {name: _rounded(_wait_ms(view, name)) for name in _QUANTILES},
        "totals": stats.counters,
    }


def table_within(views: Sequence[QueueView], console: Console) -> Table:
    """Return the table without the columns that there is no room for, the least wanted first."""
    unbounded = console.options.update(width=_UNFOLDED)
    for missing in range(len(_DISPENSABLE)):
        table = table_from(views, without=_DISPENSABLE[:missing])
        if console.measure(table, options=unbounded).maximum <= console.width:
            return table
    return table_from(views, without=_DISPENSABLE)


def table_from(views: Sequence[QueueView], *, without: Sequence[str] = ()) -> Table:
    """Return what a person is shown of some queues, a line each."""
    from rich.table import Table  # noqa: PLC0415 - not for JSON

    table = Table(box=None, header_style="bold", pad_edge=False)
    shown = [index for index, header in enumerate(_HEADERS) if header not in without]
    for index in shown:
        table.add_column(_HEADERS[index], justify="right" if index else "left", no_wrap=True)
    for view in views:
        cells = _cells(view)
        table.add_row(*(cells[index] for index in shown))
    return table


def _cells(view: QueueView) -> list[str]:
    from rich.markup import escape  # noqa: PLC0415 - as above

    stats = view.stats
    return [
        escape(stats.queue) + (" [yellow]paused[/]" if stats.paused else ""),
        *(_number(stats.depth[lane]) for lane in Lane),
        age_from(stats.oldest_age_seconds) if stats.waiting else "[dim]-[/]",
        _number(stats.in_flight),
        _per_second(view.in_per_second),
        _per_second(view.out_per_second),
        *(_wait(view, name) for name in ("p50", "p95")),
        _number(stats.delayed),
        _number(stats.dead, style="red"),
    ]


def console_of_answers() -> Console:
    """Return the console for a table: a pipe has no width, nothing is folded there."""
    console = answers()
    if not console.is_terminal:
        console.width = _UNFOLDED
    return console


def _number(count: int, *, style: str = "") -> str:
    if not count:
        return "[dim]0[/]"
    return f"[{style}]{count:,}[/]" if style else f"{count:,}"


def _per_second(rate: float | None) -> str:
    if not rate:
        return "[dim]-[/]" if rate is None else "[dim]0[/]"
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"  # noqa: PLR2004 - two digits


def _wait_ms(view: QueueView, name: str) -> float | None:
    return percentile_ms(view.waits, _QUANTILES[name])


def _wait(view: QueueView, name: str) -> str:
    wait_ms = _wait_ms(view, name)
    return "[dim]-[/]" if wait_ms is None else age_from(wait_ms / 1000)


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)
