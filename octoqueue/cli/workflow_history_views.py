"""What an execution did as people read it: a line a step, its branches below each other."""

from __future__ import annotations

from typing import Final

from octoqueue.cli.moments import local
from octoqueue.cli.output import print_table
from octoqueue.cli.reading import age_from
from octoqueue.cli.workflow_views import say
from octoqueue.errors import Cancelled
from octoqueue.workflows.executions import Execution
from octoqueue.workflows.protocol import Loaded
from octoqueue.workflows.states import ExecutionStatus
from octoqueue.workflows.timeline import GATHER, Line, failure_text, timeline_of

_INDENT: Final = "  "


def print_history(loaded: Loaded, *, now_ms: int) -> None:
    """Show what an execution did, in the order of its program."""
    from rich.table import Table  # noqa: PLC0415 - not for JSON
    from rich.text import Text  # noqa: PLC0415 - as above

    execution = loaded.execution
    told = f"{execution.name} {execution.workflow_id}, run {execution.run}"
    say(f"{told}: {_ending(execution)}")
    say(f"started {local(execution.created_at.isoformat())}, execution {execution.execution_id}")
    lines = timeline_of(loaded).lines
    if not lines:
        say("It has begun no step.")
        return
    say("")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("step", "what", "name", "status"):
        table.add_column(header, no_wrap=True)
    for header in ("at", "took", "tries"):
        table.add_column(header, no_wrap=True, justify="right")
    table.add_column("")
    began_ms = round(execution.created_at.timestamp() * 1000)
    for line in lines:
        table.add_row(
            Text(_INDENT * line.depth + line.key),
            line.kind,
            Text(line.name),
            line.status.value,
            f"+{age_from(max(0, line.began_at_ms - began_ms) / 1000)}",
            _took(line, now_ms),
            str(line.attempts) if line.attempts else "",
            Text(line.note),
        )
    print_table(table)


def _ending(execution: Execution) -> str:
    failure = failure_text(execution.error)
    if execution.status is ExecutionStatus.CANCELLED:
        failure = failure.removeprefix(f"{Cancelled.__name__}").removeprefix(": ")
    return f"{execution.status.value}: {failure}" if failure else execution.status.value


def _took(line: Line, now_ms: int) -> str:
    if line.kind == GATHER and line.ended_at_ms is None:
        return ""
    told = age_from(line.took_ms(now_ms=now_ms) / 1000)
    return told if line.ended_at_ms is not None else f"{told} …"
