"""`octoqueue fleet`: how many workers each fleet has, wants, and why; restart one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from octoqueue.cli.fleet_readings import FleetView, read_fleets, restarted
from octoqueue.cli.output import (
    ConfigOption,
    JsonOption,
    failures,
    print_json,
    print_table,
    run_async,
)
from octoqueue.cli.queue_views import console_of_answers
from octoqueue.cli.reading import age_from
from octoqueue.cli.supervision import process_failures
from octoqueue.settings.root import Settings

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(add_completion=False)

_HELP: Final = """
Show each fleet: its workers, its work, and what was decided last and why.

\b
    octoqueue fleet
    octoqueue fleet executor coder --json
    octoqueue fleet restart executor

What workers say of themselves and the decisions are in Redis, so this is the same for 'octoqueue \
up' and for Kubernetes. "starting" is what the agent of this machine says, where there is one; \
elsewhere it is what is wanted and not ready yet.

'restart' replaces the workers of a fleet of this machine one by one: a new one is ready before an \
old one drains.
"""
_RESTART: Final = "restart"
_HEADERS: Final = (
    "fleet", "wanted", "ready", "starting", "draining", "running", "waiting", "oldest", "reason"
)  # fmt: skip


@app.command(help=_HELP)
def fleet(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME... | restart NAME]",
            help="Fleets to show (default: all), or the one to restart.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show each fleet; restart one."""
    names = names or []
    with failures(as_json=as_json), process_failures():
        settings = Settings.load(config)
        if names[:1] == [_RESTART] and _RESTART not in settings.fleets:
            if len(names) != 2:  # noqa: PLR2004 - the word and one name
                raise typer.BadParameter("name one fleet: octoqueue fleet restart executor")
            run_async(_restart(settings, names[1], as_json=as_json))
            return
        views = run_async(read_fleets(settings, names))
    if as_json:
        print_json([document(view) for view in views])
    elif views:
        print_table(_table(views))
    else:
        console_of_answers().print("No fleet is configured.")


async def _restart(settings: Settings, name: str, *, as_json: bool) -> None:
    told: list[str] = []
    async for line in restarted(settings, name):
        told.append(line)
        if not as_json:
            typer.echo(line)
    if as_json:
        print_json({"fleet": name, "told": told})


def document(view: FleetView) -> dict[str, Any]:
    """Return what a machine is told of a fleet."""
    return {
        "fleet": view.fleet,
        "kind": view.kind,
        "wanted": view.wanted,
        "decided_seconds_ago": view.decided_seconds_ago,
        "ready": view.ready,
        "starting": view.starting,
        "draining": view.draining,
        "failing": view.failing,
        "running": view.running,
        "slots": view.slots,
        "waiting": view.waiting,
        "oldest_age_seconds": view.oldest_age_seconds,
        "reason": view.reason,
        "override": view.override,
    }


def _table(views: Sequence[FleetView]) -> Table:
    from rich.table import Table  # noqa: PLC0415 - not for JSON

    table = Table(box=None, header_style="bold", pad_edge=False)
    last = len(_HEADERS) - 1
    for index, header in enumerate(_HEADERS):
        is_text = index in {0, last}
        table.add_column(header, justify="left" if is_text else "right", no_wrap=index != last)
    for view in views:
        table.add_row(*_cells(view))
    return table


def _cells(view: FleetView) -> list[str]:
    from rich.markup import escape  # noqa: PLC0415 - as above

    failing = f" [red]{view.failing} failing[/]" if view.failing else ""
    override = f" ({view.override})" if view.override else ""
    return [
        escape(view.fleet) + failing,
        "[dim]-[/]" if view.wanted is None else str(view.wanted),
        *(str(n) if n else "[dim]0[/]" for n in (view.ready, view.starting, view.draining)),
        f"{view.running:,}/{view.slots:,}",
        f"{view.waiting:,}" if view.waiting else "[dim]0[/]",
        age_from(view.oldest_age_seconds) if view.waiting else "[dim]-[/]",
        escape(view.reason + override),
    ]
