"""Earlier attempts of a message as a machine and as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from octoqueue.cli.moments import local, moment
from octoqueue.cli.queue_views import console_of_answers
from octoqueue.primitives.history import PastAttempt


def history_document(history: Sequence[PastAttempt]) -> list[dict[str, Any]]:
    """Return what a machine is told of earlier attempts, oldest first."""
    return [
        {
            "attempt": one.attempt,
            "ended_at": moment(one.ended_at_ms),
            "error": one.error,
            "message": one.message,
            "worker": one.session,
        }
        for one in history
    ]


def print_history(history: Sequence[dict[str, Any]]) -> None:
    """Show the documents of earlier attempts, a line each; nothing when there are none."""
    if not history:
        return
    from rich.table import Table  # noqa: PLC0415 - not for JSON
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(
        "attempt", "ended", "error", "worker", box=None, header_style="bold", pad_edge=False
    )
    for one in history:
        table.add_row(
            str(one["attempt"]), local(one["ended_at"]), Text(_error(one)), Text(one["worker"])
        )
    console = console_of_answers()
    console.print(Text("\nearlier attempts", style="bold"))
    console.print(table)


def _error(one: dict[str, Any]) -> str:
    if one["error"] is None:
        return "nobody said why"
    return f"{one['error']}: {one['message']}".removesuffix(": ")
