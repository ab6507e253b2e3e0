"""`octoqueue queues`: what waits, what runs and how fast, a line a queue."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from octoqueue.cli.output import (
    ConfigOption,
    JsonOption,
    failures,
    print_json,
    print_table,
    run_async,
)
from octoqueue.cli.queue_readings import QueueReader, require_known
from octoqueue.cli.queue_views import QueueView, console_of_answers, document, table_from
from octoqueue.cli.reading import store_of
from octoqueue.primitives.clock import SystemClock
from octoqueue.settings.root import Settings

app = typer.Typer(add_completion=False)

_HELP: Final = """
Show what waits, what runs and how fast, a line a queue.

\b
    octoqueue queues
    octoqueue queues coder judge
    octoqueue queues --json | jq '.[] | {queue, waiting, in_per_second}'

Rates are what happened between two looks, a second apart (--over). A wait is the time from when \
a message could have been claimed to when it was; its percentiles are of all time, from a \
histogram, right to about a factor of two. 'octoqueue top' shows all this live.
"""

QueuesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="QUEUE", help="Queues to show (default: all).", show_default=False),
]


@app.command(help=_HELP)
def queues(
    names: QueuesArgument = None,
    *,
    over: Annotated[
        float,
        typer.Option(
            "--over", min=0, max=60, metavar="SECONDS", help="Between the looks; 0: no rates."
        ),
    ] = 1.0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what waits, what runs and how fast."""
    with failures(as_json=as_json):
        views = run_async(_look(Settings.load(config), names or [], over))
    if as_json:
        print_json([document(view) for view in views])
    elif views:
        print_table(table_from(views))
    else:
        console_of_answers().print("No queue has ever been used.")


async def _look(settings: Settings, names: list[str], over_seconds: float) -> list[QueueView]:
    async with store_of(settings) as store:
        await require_known(store, names)
        reader = QueueReader(store, names)
        await reader.read()
        if over_seconds:
            await SystemClock().sleep(over_seconds)
            await reader.read()
        return reader.views()
