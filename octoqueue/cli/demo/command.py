"""`octoqueue demo`: start everything, run real tasks through it, print what happened, stop it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from octoqueue.cli.output import (
    INTERRUPTED,
    ConfigOption,
    JsonOption,
    answers,
    failures,
    print_json,
    report,
)
from octoqueue.cli.supervision import FAILED
from octoqueue.errors import ConfigError, ModuleUnusable, ProcessError, StoreError
from octoqueue.settings.redis import RedisSettings
from octoqueue.settings.root import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from octoqueue.cli.demo.summary import Summary

app = typer.Typer(add_completion=False)

_HELP: Final = """
Start the platform on private servers and a free port, put tasks in over HTTP, and print what came \
back and how long it took. Nothing that is configured or already running is touched.

\b
    octoqueue demo
    octoqueue demo --tasks 1000
    octoqueue demo --json

It ends with exit code 0 if every task was accepted and completed. It needs the platform, and so \
runs in a clone of the repository, where 'make demo' does all the set-up first.
"""

_LEAST: Final = 3
_DEFAULT_TASKS: Final = 600
_PIPE_WIDTH: Final = 110
_LAST_LINES: Final = 25


@app.command(help=_HELP)
def demo(
    *,
    tasks: Annotated[
        int, typer.Option(min=_LEAST, metavar="N", help="How many tasks to put in.")
    ] = _DEFAULT_TASKS,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Start everything, run real tasks through it, print what happened."""
    with failures(as_json=as_json), _private_place() as place:
        settings = _private(Settings.load(config), place)
        log_path = place / "processes.log"
        console = None if as_json else _console()
        try:
            summary = _demonstrate(settings, tasks, config, log_path, console)
        except (ProcessError, StoreError) as error:
            report(error, as_json=as_json)
            _show_end_of(log_path)
            raise typer.Exit(FAILED) from None
        if summary is None:
            raise typer.Exit(INTERRUPTED)
        _print(summary, console)
        if not summary.succeeded:
            _show_end_of(log_path)
            raise typer.Exit(FAILED)


@contextmanager
def _private_place() -> Generator[Path]:
    """Lend a directory for the servers of one demonstration, and delete it."""
    place = Path(tempfile.mkdtemp(prefix="octoqueue-demo-"))
    try:
        place.chmod(0o711)  # PostgreSQL does not run as root, and must get to its data
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _private(settings: Settings, place: Path) -> Settings:
    """Return the same platform on servers and a port of its own."""
    if settings.http.app is None:
        raise ConfigError(
            "http.app: the demo needs the platform: run 'make demo' in a clone of the repository",
            key="http.app",
        )
    return settings.model_copy(
        update={
            "redis": RedisSettings(),
            "postgres": settings.postgres.model_copy(update={"url": None}),
            "embedded": settings.embedded.model_copy(update={"state_dir": place / "state"}),
            "http": settings.http.model_copy(update={"host": "127.0.0.1", "port": 0}),
        }
    )


def _console() -> Console:
    console = answers()
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def _demonstrate(
    settings: Settings, tasks: int, config: Path | None, log_path: Path, console: Console | None
) -> Summary | None:
    try:
        from octoqueue.cli.demo.demonstration import demonstrate  # noqa: PLC0415 - wants an extra
    except ModuleNotFoundError as error:
        reason = "is not installed: pip install 'octoqueue[embedded,http]'"
        raise ModuleUnusable(str(error.name), reason) from None
    with log_path.open("w", encoding="utf-8") as log_file:
        return asyncio.run(
            demonstrate(settings, tasks=tasks, config=config, log_file=log_file, console=console)
        )


def _print(summary: Summary, console: Console | None) -> None:
    if console is None:
        from octoqueue.cli.demo.summary import document  # noqa: PLC0415 - wanted only now

        print_json(document(summary))
    else:
        from octoqueue.cli.demo.report import print_report  # noqa: PLC0415 - not for JSON

        print_report(summary, console)


def _show_end_of(log_path: Path) -> None:
    """Write the last lines of the log on standard error, and keep all of it."""
    lines = log_path.read_text(encoding="utf-8").splitlines()
    kept = Path(tempfile.gettempdir()) / f"{log_path.parent.name}.log"
    shutil.copyfile(log_path, kept)
    typer.echo("\n".join([*lines[-_LAST_LINES:], f"(all of it: {kept})"]), err=True)
