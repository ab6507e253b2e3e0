"""`octoqueue drain`: have the workers of this container claim nothing more, and wait for the rest.

A worker drains on SIGTERM by itself. This is for what stands before that signal, a `preStop` hook:
it gives long messages more time than `runtime.drain`, and works where an entry point passes no
signals on.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from octoqueue.cli.output import ConfigOption, complain, failures, run_async
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.runtime.drain_door import QUIET, STATUS, live_doors
from octoqueue.settings.quantities import parse_duration
from octoqueue.settings.root import Settings

app = typer.Typer(add_completion=False)

_HELP: Final = """
Let the workers of this container claim nothing more, and wait until nothing runs.

\b
    octoqueue drain --for 10m

For the preStop hook of a pod: SIGTERM comes afterwards, and what still runs then has \
runtime.drain to finish before it is handed back. The workers stay quiet until they are stopped. \
It speaks to worker processes of the same user with the same temporary directory, and needs \
neither Redis nor PostgreSQL. It leaves workers of 'octoqueue up' alone.

Exit code: 0 nothing runs; 1 no worker is here, or the time is over and something still runs.
"""

_LOOK_SECONDS: Final = 0.2
_SAY_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What one worker has answered."""

    name: str
    running: int
    oldest: str

    def __str__(self) -> str:
        messages = "message" if self.running == 1 else "messages"
        return f"{self.name} runs {self.running} {messages}, {self.oldest}"


@app.command(help=_HELP)
def drain(
    *,
    lasting: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="DURATION",
            help="How long to wait (default: runtime.drain).",
            show_default=False,
        ),
    ] = None,
    pid: Annotated[
        int | None,
        typer.Option(metavar="PID", help="Only this worker process.", show_default=False),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Quiet the workers of this container and wait."""
    with failures():
        patience = _duration(lasting) if lasting else Settings.load(config).runtime.drain
        drained = run_async(_drain(patience.total_seconds(), pid, clock=SystemClock()))
    if not drained:
        raise typer.Exit(1)


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"--for: {error}") from None


async def _drain(patience_seconds: float, pid: int | None, *, clock: Clock) -> bool:
    doors = [door for door in live_doors() if pid is None or door.name.startswith(f"{pid}-")]
    if not doors:
        complain("no worker is here that could be drained")
        return False
    until = clock.monotonic() + patience_seconds
    busy: dict[Path, _Said | None] = dict.fromkeys(doors)
    say_at = 0.0
    while True:
        # One that has not answered may not have heard.
        said = [(door, await _ask(door, STATUS if busy[door] else QUIET)) for door in busy]
        busy = {door: each for door, each in said if each is None or each.running}
        now = clock.monotonic()
        if not busy:
            typer.echo("nothing runs")
            return True
        if now >= until:
            complain(f"after {patience_seconds:g} s {_shown(list(busy.values()))}")
            return False
        if now >= say_at:
            typer.echo(f"waiting: {_shown(list(busy.values()))}")
            say_at = now + _SAY_SECONDS
        await clock.sleep(min(_LOOK_SECONDS, until - now))


async def _ask(door: Path, question: bytes) -> _Said | None:
    """Return what a worker says; None when it does not answer."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(door))
            try:
                writer.write(question)
                answer: dict[str, Any] = orjson.loads(await reader.readline())
            finally:
                writer.close()
    except (FileNotFoundError, ConnectionRefusedError):
        return _Said(name="", running=0, oldest="")  # it has ended
    except (OSError, ValueError):  # TimeoutError is an OSError
        return None
    oldest = answer["oldest"][0] if answer["oldest"] else {"actor": "", "seconds": 0}
    return _Said(
        name=answer["name"],
        running=answer["running"],
        oldest=f"the oldest {oldest['actor']} for {oldest['seconds']:.0f} s",
    )


def _shown(busy: list[_Said | None]) -> str:
    parts = [str(each) for each in busy if each is not None]
    silent = len(busy) - len(parts)
    if silent:
        parts.append(f"{silent} {'does' if silent == 1 else 'do'} not answer")
    return "; ".join(parts)
