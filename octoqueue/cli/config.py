"""`octoqueue config`: show, check and describe the configuration."""

from __future__ import annotations

from typing import Annotated, Any, Final, cast

import typer

from octoqueue.cli.output import (
    REFUSED,
    ConfigOption,
    JsonOption,
    failure_document,
    failures,
    print_json,
    print_table,
    report,
)
from octoqueue.errors import ConfigError
from octoqueue.settings.listing import Entry, json_schema, list_values, reference_table
from octoqueue.settings.root import Settings

app = typer.Typer(
    name="config",
    help="Show, check and describe the configuration.",
    no_args_is_help=True,
    add_completion=False,
)

_COLOURS: Final = {"default": "dim", "file": "cyan", "environment": "yellow", "override": "magenta"}


@app.command()
def show(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print every value and where it comes from; passwords are masked."""
    with failures(as_json=as_json):
        loaded = Settings.load_explained(config)
    entries = list_values(loaded)
    if as_json:
        print_json([_document(entry) for entry in entries])
    else:
        _print_table(entries)


@app.command()
def validate(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check file and environment: exit code 0, or 2 with everything that is wrong."""
    try:
        loaded = Settings.load_explained(config)
    except ConfigError as error:
        if as_json:
            print_json({"valid": False, **failure_document(error)})
        else:
            report(error)
        raise typer.Exit(REFUSED) from None
    file = str(loaded.file) if loaded.file else None
    if as_json:
        print_json({"valid": True, "file": file})
    else:
        typer.echo(f"{file or 'There is no configuration file; the environment'} is valid.")


@app.command()
def schema(
    *,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="A table for people instead of JSON Schema.")
    ] = False,
) -> None:
    """Print the JSON Schema of the configuration file."""
    if markdown:
        typer.echo(reference_table(Settings), nl=False)
    else:
        print_json(json_schema(Settings))


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "value": entry.value,
        "from": entry.origin.layer,
        "place": entry.origin.place or None,
    }


def _print_table(entries: tuple[Entry, ...]) -> None:
    from rich.table import Table  # noqa: PLC0415 - not for JSON
    from rich.text import Text  # noqa: PLC0415 - not for JSON

    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("key", "value", "from"):
        table.add_column(header, no_wrap=header == "key")
    for entry in entries:
        origin = entry.origin
        table.add_row(
            entry.key,
            Text(_readable(entry.value), style="dim" if entry.value is None else ""),
            Text(origin.place or origin.layer, style=_COLOURS[origin.layer]),
        )
    print_table(table)


def _readable(value: object) -> str:
    if value is None or value == {}:
        return "none"
    if isinstance(value, list):
        return ", ".join(str(item) for item in cast("list[object]", value))
    return str(value)
