"""What every command shares: how it answers, how it fails, how it runs asynchronous code.

Answers go to standard output, everything else to standard error. A command is written as

    @app.command()
    def show(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
        with failures(as_json=as_json):
            settings = Settings.load(config)
            run_async(serve(settings))

`failures` turns an `OctoqueueError` into one line that says what to do (with `as_json`, into one
JSON object) and exit code 2, or 1 when what was named is not there. Whatever else escapes is a
defect: Python shows its traceback, and the exit code is 1, too. Ctrl-C ends in exit code 130
without a word.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

import orjson
import typer

from octoqueue.errors import ConfigRefused, NotThere, OctoqueueError, StoreUnavailable
from octoqueue.telemetry.masking import mask_urls

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Generator

    from rich.console import Console
    from rich.table import Table

T = TypeVar("T")

NOT_THERE: Final = 1
"""Exit code: what was named does not exist (any more)."""

REFUSED: Final = 2
"""Exit code: what was asked for cannot be done as it was asked."""

INTERRUPTED: Final = 130
"""Exit code: Ctrl-C, as a shell counts it."""

_UNFOLDED: Final = 10_000

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="PATH",
        help="Configuration file (default: $OCTOQUEUE_CONFIG, else ./octoqueue.yaml if there).",
        show_default=False,
    ),
]
"""Which configuration file to read; every command that reads settings has it."""

JsonOption = Annotated[bool, typer.Option("--json", help="Answer, and fail, as JSON.")]
"""For machines: the answer on standard output, a failure on standard error, both as JSON."""


def answers() -> Console:
    """Return the console for what was asked for (standard output)."""
    from rich.console import Console  # noqa: PLC0415 - a command that answers in JSON needs none

    return Console(highlight=False)


def print_table(table: Table) -> None:
    """Write a table as an answer: folded in a narrow terminal, but no word or number of it is cut.

    A pipe has no width: there a row is a line.
    """
    console = answers()
    if console.is_terminal:
        unbounded = console.options.update(width=_UNFOLDED)
        for column in table.columns:  # rich would cut those that may not be folded
            if column.no_wrap:
                cells = (column.header, *column.cells)
                widths = (console.measure(cell, options=unbounded).maximum for cell in cells)
                column.min_width = max(widths)
        console.width = max(console.width, console.measure(table, options=unbounded).minimum)
    else:
        console.width = _UNFOLDED
    console.print(table)


def notices() -> Console:
    """Return the console for everything else: progress, warnings (standard error)."""
    from rich.console import Console  # noqa: PLC0415 - as above

    return Console(stderr=True, highlight=False)


def print_json(value: object) -> None:
    """Write `value` as indented JSON on standard output."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:  # arguments of messages may be more than orjson can say
        finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
        text = json.dumps(finite, indent=2)
    sys.stdout.write(text + "\n")


@contextmanager
def failures(*, as_json: bool = False) -> Generator[None]:
    """Report an `OctoqueueError` and end the command with exit code 2, or 1."""
    try:
        yield
    except OctoqueueError as error:
        report(error, as_json=as_json)
        raise typer.Exit(exit_code_of(error)) from None


def exit_code_of(error: OctoqueueError) -> int:
    """Return the exit code of a command that ends with an error."""
    return NOT_THERE if isinstance(error, NotThere) else REFUSED


def report(error: OctoqueueError, *, as_json: bool = False) -> None:
    """Write `error` on standard error: a line for each problem, or one JSON object."""
    if as_json:
        sys.stderr.write(orjson.dumps(failure_document(error)).decode() + "\n")
        return
    problems = error.problems if isinstance(error, ConfigRefused) else (error,)
    for problem in problems:
        complain(str(problem) + _advice(problem))


def _advice(error: OctoqueueError) -> str:
    """Return what to do about an error that does not say it."""
    if isinstance(error, StoreUnavailable) and "octoqueue " not in str(error):
        return "; 'octoqueue config show' says which server is meant"
    return ""


def end_without_numpy(error: ModuleNotFoundError, *, what: str, as_json: bool) -> NoReturn:
    """End a command that needs numpy, if that is what is missing."""
    if error.name != "numpy":
        raise error
    sentence = f"{what} needs numpy: pip install 'octoqueue[forecast]'"
    if as_json:
        complain_as_json("ModuleUnusable", sentence)
    else:
        complain(sentence)
    raise typer.Exit(REFUSED)


def complain(sentence: str) -> None:
    """Write one sentence on standard error, on one line, in the name of the program."""
    line = " ".join(mask_urls(sentence).split())
    sys.stderr.write(f"octoqueue: {line}\n")


def complain_as_json(error: str, sentence: str) -> None:
    """Write one sentence on standard error, as the JSON object of a failure."""
    document = {"error": error, "message": mask_urls(sentence), "retryable": False}
    sys.stderr.write(orjson.dumps(document).decode() + "\n")


def failure_document(error: OctoqueueError) -> dict[str, Any]:
    """Return what a machine wants to know of `error`."""
    document: dict[str, Any] = {
        "error": type(error).__name__,
        "message": mask_urls(str(error) + _advice(error)),
        "retryable": error.retryable,
    }
    if isinstance(error, ConfigRefused):
        document["problems"] = [
            {"key": problem.key, "message": mask_urls(str(problem))} for problem in error.problems
        ]
    return document


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on a uvloop event loop (asyncio's own where there is no uvloop)."""
    import asyncio  # noqa: PLC0415 - not for commands that run nothing

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - as above

    return uvloop.new_event_loop
