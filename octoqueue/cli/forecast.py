"""`octoqueue forecast`: what is expected to arrive, and whether it is followed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from octoqueue.cli.forecast_views import ForecastView, document, heading, rows
from octoqueue.cli.output import (
    ConfigOption,
    JsonOption,
    answers,
    end_without_numpy,
    failures,
    print_json,
    print_table,
    run_async,
)
from octoqueue.cli.reading import with_redis
from octoqueue.errors import FleetUnknown
from octoqueue.fleet.opening import opened_decider, policies_of
from octoqueue.settings.root import Settings

if TYPE_CHECKING:
    from octoqueue.cli.forecast_import import Imported

app = typer.Typer(
    help="Show what is expected to arrive; let forecasts learn from a file.",
    no_args_is_help=True,
    add_completion=False,
)

_SHOW_HELP: Final = """
Show what is expected to arrive in the coming minutes, a table a fleet.

\b
    octoqueue forecast show
    octoqueue forecast show executor --minutes 20
    octoqueue forecast show --json

A skill of 0.1 says that the errors of the last day were 10 % smaller than those of a plain answer:
"as many as now", "as many as a week ago". A forecast without skill is not followed.
"""
_IMPORT_HELP: Final = """
Let forecasts learn from a file what usually arrives in a queue.

\b
    octoqueue forecast import requests.csv --queue executor
    octoqueue forecast import last_year.csv --queue executor --recent

The file has the columns period,count (UTC, a minute a line; minutes left out had none), or is any \
other trace that 'octoqueue simulate' takes; count a large file of single requests by the minute \
first. Minutes that were measured stay as they are; those older than 90 days and those to come are \
left out. Forecasts of the fleets that serve the queue learn anew within minutes.
"""


@app.callback()
def _group() -> None:
    """Show what is expected to arrive; let forecasts learn from a file."""


@app.command(help=_SHOW_HELP)
def show(
    fleets: Annotated[
        list[str] | None,
        typer.Argument(metavar="FLEET", help="Which; all when none is named.", show_default=False),
    ] = None,
    *,
    minutes: Annotated[
        int, typer.Option("--minutes", "-n", min=1, metavar="N", help="The next N minutes.")
    ] = 10,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what is expected to arrive in the coming minutes."""
    with failures(as_json=as_json):
        views = run_async(_read(Settings.load(config), fleets or ()))
    if as_json:
        print_json([document(view, minutes=minutes) for view in views])
        return
    for view in views:
        answers().print(heading(view), markup=False, soft_wrap=True)
        if view.forecast is not None:
            _print_table(view, minutes)


@app.command(name="import", help=_IMPORT_HELP)
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Requests per minute.")],
    *,
    queue: Annotated[str, typer.Option("--queue", "-q", metavar="NAME", help="The queue.")],
    recent: Annotated[
        bool,
        typer.Option("--recent", help="Move it by whole weeks, so that it ends within the last."),
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Let forecasts learn from a file."""
    try:
        from octoqueue.cli.forecast_import import import_arrivals  # noqa: PLC0415 - numpy
    except ModuleNotFoundError as error:
        end_without_numpy(error, what="importing", as_json=as_json)
    with failures(as_json=as_json):
        settings = Settings.load(config)
        imported = run_async(import_arrivals(settings, file, queue=queue, recent=recent))
    if as_json:
        print_json(_imported_document(imported))
        return
    weeks = f", moved by {imported.moved_weeks} weeks" if imported.moved_weeks else ""
    anew = ", ".join(imported.fleets)
    answers().print(
        f"{imported.added:,} of {imported.minutes:,} minutes were added to the history of "
        f"{queue}{weeks}." + (f" Learning anew: {anew}." if anew else ""),
        markup=False,
        soft_wrap=True,
    )


async def _read(settings: Settings, names: Sequence[str]) -> list[ForecastView]:
    policies = policies_of(settings)
    for name in names:
        if name not in policies:
            raise FleetUnknown(name, known=tuple(policies))
    wanted = names or [name for name, policy in policies.items() if policy.queues]
    async with opened_decider(await with_redis(settings)) as deciding:
        remembered = [await deciding.memory.recall(name) for name in wanted]
    return [ForecastView.of(each, policies[each.fleet]) for each in remembered]


def _imported_document(imported: Imported) -> dict[str, Any]:
    return {
        "minutes": imported.minutes,
        "added": imported.added,
        "moved_weeks": imported.moved_weeks,
        "fleets": list(imported.fleets),
    }


def _print_table(view: ForecastView, minutes: int) -> None:
    from rich.table import Table  # noqa: PLC0415 - not for JSON

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("minute")
    for header in ("expected", "low", "high"):
        table.add_column(header, justify="right")
    for row in rows(view, minutes=minutes):
        table.add_row(*row)
    print_table(table)
