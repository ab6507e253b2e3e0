"""The summary as a person reads it: the numbers, and what three of the tasks came back with."""

from __future__ import annotations

from typing import Any, Final, cast

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from octoqueue.cli.demo.fleets import SHORTENED
from octoqueue.cli.demo.path import path_of
from octoqueue.cli.demo.summary import LANES, QUANTILES, Summary
from octoqueue.cli.demo.tally import Done
from octoqueue.cli.reading import age_from

_MOST_LINES: Final = 16
_MOST_FAILURES: Final = 5


def print_report(summary: Summary, console: Console) -> None:
    """Print the summary of a demonstration."""
    for done in summary.samples:
        console.print(_result(done))
    console.print()
    console.print(_latencies(summary))
    console.print()
    if summary.resized:
        console.print(_decisions(summary))
        console.print()
    console.print(_verdict(summary))
    for done in summary.failures[:_MOST_FAILURES]:
        error = done.error or {}
        console.print(
            Text(f"  {done.goal.text}: {error.get('code')}: {error.get('message')}", style="red")
        )


def _verdict(summary: Summary) -> Text:
    style = "bold green" if summary.succeeded else "bold red"
    text = Text(f"{summary.completed} of {summary.accepted} accepted tasks completed", style=style)
    text.append(
        f" in {summary.seconds:.1f} s ({summary.tasks_per_second:.0f} a second), "
        f"{summary.failed} failed, {summary.refused} refused for the moment (429)",
        style="default",
    )
    return text


def _decisions(summary: Summary) -> Group:
    """Return what the fleets did, and that they were in a hurry."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("after", justify="right")
    table.add_column("fleet")
    table.add_column("from", justify="right")
    table.add_column("to", justify="right")
    table.add_column("reason")
    for each in summary.resized:
        table.add_row(
            f"{each.after_seconds:.0f} s",
            each.fleet,
            str(each.before),
            Text(str(each.after), style="green" if each.after > each.before else "yellow"),
            each.reason,
        )
    end = "" if summary.has_shrunk else "; not all fleets had shrunk again when it ended"
    return Group(table, Text(f"(For this demo sizes are {SHORTENED}{end}.)", style="dim"))


def _latencies(summary: Summary) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    for header in ("lane", "priority"):
        table.add_column(header)
    table.add_column("tasks", justify="right")
    table.add_column("")
    for name in QUANTILES:
        table.add_column(name.upper(), justify="right", min_width=7)
    for lane in summary.lanes:
        head = (lane.lane, LANES[lane.lane], str(lane.tasks))
        table.add_row(*head, "accepted to done", *_cells(lane.accept_to_done))
        table.add_row("", "", "", "enqueued to started", *_cells(lane.enqueue_to_start))
    return table


def _cells(quantiles: dict[str, float | None]) -> list[str]:
    return ["-" if seconds is None else age_from(seconds) for seconds in quantiles.values()]


def _result(done: Done) -> Panel:
    result = done.result or {}
    title = Text(done.goal.text, style="bold")
    by = path_of(result) or done.arm
    took = f"{done.goal.priority} · {by} · {age_from(done.total_seconds)}"
    return Panel(
        Group(Text(str(result.get("summary", ""))), *_output(result.get("output"))),
        title=title,
        title_align="left",
        subtitle=Text(took, style="dim"),
        subtitle_align="right",
        border_style="dim",
    )


def _output(output: Any) -> list[RenderableType]:  # noqa: ANN401 - each arm has its own
    if not isinstance(output, dict):
        return []
    found = cast("dict[str, Any]", output)
    if found.get("stdout"):
        return [
            Text(),
            Text(f"$ {found.get('command')}", style="bold"),
            Text(_top(found["stdout"]), no_wrap=True, overflow="ellipsis"),
        ]
    if found.get("code"):
        return [Text(), Syntax(_top(found["code"]), "python", background_color="default")]
    checklists = cast("list[dict[str, Any]]", found.get("checklists") or [])
    return [Text(), Text(_top(_listed(checklists)))] if checklists else []


def _listed(checklists: list[dict[str, Any]]) -> str:
    return "\n".join(
        line
        for checklist in checklists
        for line in (
            f"{checklist.get('topic')}:",
            *(f"  - {point}" for point in cast("list[str]", checklist.get("points") or [])),
        )
    )


def _top(text: str) -> str:
    lines = text.rstrip().splitlines()
    rest = len(lines) - _MOST_LINES
    if rest > 1:
        lines = [*lines[:_MOST_LINES], f"… {rest} more lines"]
    return "\n".join(lines)
