"""`octoqueue record`: what arrives and how long it runs, written down for `octoqueue simulate`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer

from octoqueue.cli.output import (
    REFUSED,
    ConfigOption,
    JsonOption,
    answers,
    complain,
    complain_as_json,
    failures,
    print_json,
    run_async,
)
from octoqueue.cli.queue_readings import require_known
from octoqueue.cli.reading import age_from, store_of
from octoqueue.cli.recorder import Recorder
from octoqueue.errors import StoreUnavailable
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.settings.quantities import parse_duration
from octoqueue.settings.root import Settings

app = typer.Typer(add_completion=False)

_SHORTEST_SECONDS: Final = 0.1

_HELP: Final = """
Record what arrives in queues and how long it runs, until Ctrl-C or for a time (--for).

\b
    octoqueue record --out today.jsonl
    octoqueue record coder --out coder.jsonl --every 1s --for 24h
    octoqueue simulate --trace coder.jsonl --policy octoqueue.yaml --fleet coder

Nothing is changed and nothing of the messages is read. While the server cannot be reached the \
counts go on there: what was missed is in the next line. An existing file is not overwritten.
"""


def _seconds(text: str | float) -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}") from None


@app.command(help=_HELP)
def record(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUEUE", help="Queues (default: all).", show_default=False),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write.")],
    every: Annotated[
        float, typer.Option(parser=_seconds, metavar="DURATION", help="Between two lines.")
    ] = 1.0,
    lasting: Annotated[
        float | None,
        typer.Option(
            "--for", parser=_seconds, metavar="DURATION", help="How long (default: until Ctrl-C)."
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Record what arrives in queues and how long it runs."""
    if every < _SHORTEST_SECONDS:
        raise typer.BadParameter("--every: must be 0.1s or more")
    seen = Recorder()
    with failures(as_json=as_json):
        settings = Settings.load(config)
        try:
            with _new(out) as file:
                run_async(
                    _record(
                        settings,
                        names or [],
                        file=file,
                        seen=seen,
                        every_seconds=every,
                        lasting_seconds=lasting,
                    )
                )
        except OSError as error:
            _refuse(f"{out} cannot be written: {error.strerror or error}", as_json=as_json)
            raise typer.Exit(REFUSED) from None
        except KeyboardInterrupt:
            pass  # the way to end it
    _tell(seen, out, as_json=as_json)


async def _record(
    settings: Settings,
    names: list[str],
    *,
    file: TextIO,
    seen: Recorder,
    every_seconds: float,
    lasting_seconds: float | None,
    clock: Clock | None = None,
) -> None:
    clock = clock or SystemClock()
    async with store_of(settings) as store:
        await require_known(store, names)
        file.write(await seen.begin(store, names, every_seconds=every_seconds))
        began, lines = clock.monotonic(), 0
        while lasting_seconds is None or lines * every_seconds < lasting_seconds:
            lines += 1
            await clock.sleep(max(began + lines * every_seconds - clock.monotonic(), 0))
            try:
                text = await seen.look(store)
            except StoreUnavailable as error:
                if not seen.misses:
                    complain(f"{error}; what is missed now is in the next line")
                seen.misses += 1
                continue
            seen.misses = 0
            file.write(text)
            file.flush()


@contextmanager
def _new(path: Path) -> Generator[TextIO]:
    """Open a new file; it is gone again when nothing was written into it."""
    with path.open("x", encoding="utf-8") as file:
        try:
            yield file
        finally:
            if not file.tell():
                path.unlink(missing_ok=True)


def _refuse(sentence: str, *, as_json: bool) -> None:
    if as_json:
        complain_as_json("TraceInvalid", sentence)
    else:
        complain(sentence)


def _tell(seen: Recorder, out: Path, *, as_json: bool) -> None:
    document: dict[str, Any] = {
        "file": str(out),
        "seconds": round(seen.seconds, 3),
        "arrivals": seen.arrivals,
        "runs": seen.runs,
    }
    if as_json:
        print_json(document)
        return
    answers().print(
        f"{out}: {seen.arrivals} arrivals and {seen.runs} runs in {age_from(seen.seconds)}",
        markup=False,
        soft_wrap=True,
    )
