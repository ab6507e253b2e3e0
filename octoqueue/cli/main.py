"""`octoqueue`: the program.

A new command is a module beside this one with a `typer.Typer` called `app`, and a line in
`COMMANDS`. The module is imported when the command is run, and not before.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Final

import typer

from octoqueue.cli.lazy import Entry, LazyGroup
from octoqueue.cli.output import INTERRUPTED, complain, complain_as_json, exit_code_of, report
from octoqueue.errors import OctoqueueError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = (
    Entry(
        name="up",
        target="octoqueue.cli.up:app",
        summary="Start everything on this machine, in the foreground.",
    ),
    Entry(
        name="down",
        target="octoqueue.cli.down:app",
        summary="Stop the private servers that others have left running.",
    ),
    Entry(
        name="demo",
        target="octoqueue.cli.demo.command:app",
        summary="Start everything, run real tasks through it, print what happened.",
    ),
    Entry(
        name="worker",
        target="octoqueue.cli.worker:app",
        summary="Run the actors that some modules declare.",
    ),
    Entry(
        name="drain",
        target="octoqueue.cli.drain:app",
        summary="Let the workers of this container claim nothing more, and wait.",
    ),
    Entry(
        name="orchestrator",
        target="octoqueue.cli.orchestrator:app",
        summary="Run the workflows that some modules declare.",
    ),
    Entry(
        name="serve",
        target="octoqueue.cli.serve:app",
        summary="Serve the HTTP application that the configuration names.",
    ),
    Entry(
        name="fleet",
        target="octoqueue.cli.fleet:app",
        summary="Show how many workers each fleet has and wants, and why; restart one.",
    ),
    Entry(
        name="scaler",
        target="octoqueue.cli.scaler:app",
        summary="Tell KEDA how many workers each fleet wants.",
    ),
    Entry(
        name="scale",
        target="octoqueue.cli.scale:app",
        summary="Say by hand how many workers a fleet has, or ask why it has them.",
    ),
    Entry(
        name="queues",
        target="octoqueue.cli.queues:app",
        summary="Show what waits, what runs and how fast, a line a queue.",
    ),
    Entry(
        name="top",
        target="octoqueue.cli.top:app",
        summary="Show the queues live.",
    ),
    Entry(
        name="enqueue",
        target="octoqueue.cli.enqueue:app",
        summary="Send a message to an actor.",
    ),
    Entry(
        name="pause",
        target="octoqueue.cli.pausing:pause_app",
        summary="Let nothing be claimed from some queues.",
    ),
    Entry(
        name="resume",
        target="octoqueue.cli.pausing:resume_app",
        summary="Let paused queues be claimed from again.",
    ),
    Entry(
        name="inspect",
        target="octoqueue.cli.messages:inspect_app",
        summary="Show a message: where it is, what it calls, how it ended.",
    ),
    Entry(
        name="explain",
        target="octoqueue.cli.messages:explain_app",
        summary="Say why a message does not run.",
    ),
    Entry(
        name="cancel",
        target="octoqueue.cli.messages:cancel_app",
        summary="Let a message never start, or stop it.",
    ),
    Entry(
        name="move",
        target="octoqueue.cli.messages:move_app",
        summary="Put a waiting message into another lane.",
    ),
    Entry(
        name="dead-letters",
        target="octoqueue.cli.dead_letters:app",
        summary="Show, replay or purge messages that will not run again.",
    ),
    Entry(
        name="dead",
        target="octoqueue.cli.dead_letters:app",
        summary="Short for dead-letters.",
    ),
    Entry(
        name="schedule",
        target="octoqueue.cli.schedule:app",
        summary="Show when periodic actors run next; run one by hand.",
    ),
    Entry(
        name="relay",
        target="octoqueue.cli.relay:app",
        summary="Move messages from the outbox of PostgreSQL into their lanes.",
    ),
    Entry(
        name="outbox",
        target="octoqueue.cli.outbox:app",
        summary="Show, retry or delete messages that wait in the outbox.",
    ),
    Entry(
        name="workflows",
        target="octoqueue.cli.workflows:app",
        summary="Show, signal, cancel, retry and replay durable workflows.",
    ),
    Entry(
        name="forecast",
        target="octoqueue.cli.forecast:app",
        summary="Show what is expected to arrive; let forecasts learn from a file.",
    ),
    Entry(
        name="simulate",
        target="octoqueue.cli.simulate:app",
        summary="Replay a trace through a scaling policy in virtual time.",
    ),
    Entry(
        name="record",
        target="octoqueue.cli.record:app",
        summary="Record what arrives and how long it runs, for 'simulate'.",
    ),
    Entry(
        name="config",
        target="octoqueue.cli.config:app",
        summary="Show, check and describe the configuration.",
    ),
)


class Commands(LazyGroup):
    """All commands of the program."""

    entries = COMMANDS


app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow to import

    try:
        typer.echo(f"octoqueue {version('octoqueue')}")
    except PackageNotFoundError:
        typer.echo("octoqueue (not installed)")
    raise typer.Exit


@app.callback()
def program(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Asynchronous task queue with priority lanes and worker fleets."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code.

    A wrong command line or configuration is one line on standard error and exit code 2, never a
    traceback.
    """
    _show_what_cannot_be_encoded()
    command = typer.main.get_command(app)
    try:
        result = command.main(args=arguments, prog_name="octoqueue", standalone_mode=False)
    except typer.TyperException as error:
        _report_usage(error, sys.argv[1:] if arguments is None else arguments)
        return error.exit_code
    except OctoqueueError as error:
        report(error)
        return exit_code_of(error)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def _show_what_cannot_be_encoded() -> None:
    """Write `?` for a sign that the terminal's encoding does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _report_usage(error: typer.TyperException, arguments: Sequence[str]) -> None:
    sentence = error.format_message()
    context: typer.Context | None = getattr(error, "ctx", None)
    # Without a sentence it is the help that has just been shown instead.
    if sentence:
        program_path = context.command_path if context else "octoqueue"
        sentence = f"{sentence.rstrip('.')}; see '{program_path} --help'"
        # A command line that cannot be read has no options yet, so this looks for the word.
        if "--json" in arguments:
            complain_as_json("UsageError", sentence)
        else:
            complain(sentence)
