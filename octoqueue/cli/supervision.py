"""What commands that run several processes share: signals, voices, failures.

The first signal asks for a clean end, the second asks for it at once, the third does not ask.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

import typer

from octoqueue.cli.output import complain, notices
from octoqueue.cli.worker_process import stop_on_signals
from octoqueue.errors import ProcessError
from octoqueue.fleet.lines import LineSink, PlainLines, PrefixedLines, SinkStream
from octoqueue.fleet.plan import Program
from octoqueue.primitives.service import Service
from octoqueue.settings.file_choice import FILE_VARIABLE
from octoqueue.settings.root import Settings
from octoqueue.telemetry.logging import configure

FAILED = 1
"""Exit code: what was running could not go on."""

_TWINS = {
    "OCTOQUEUE_REDIS__URL": "OCTOQUEUE_REDIS_URL",
    "OCTOQUEUE_POSTGRES__URL": "OCTOQUEUE_POSTGRES_URL",
}
"""Two names of one key: a child that finds both refuses to choose."""

_SLACK = timedelta(seconds=8)
"""What a worker gets above its drain time: cancelling, settling, closing."""


class Supervision(Service, Protocol):
    """What keeps processes running, and can be told to be quick about ending them."""

    async def wait_until_ready(self) -> None:
        """Return when all processes do their work."""
        ...

    async def wait_for_failure(self) -> None:
        """Return after a `stop`; raise `ProcessGivenUp` when a process cannot go on."""
        ...

    def hurry(self) -> None:
        """Ask processes that are stopping to do so at once."""
        ...

    def kill(self) -> None:
        """End all processes, now."""
        ...


class Interrupts:
    """Requests to end, by signal."""

    def __init__(self) -> None:
        """Listen from now on; `supervisors` are told of the second and third request."""
        self.supervisors: list[Supervision] = []
        self._asked = asyncio.Event()
        self._times = 0
        stop_on_signals(self.ask)

    def ask(self) -> None:
        """Ask for the end, more firmly each time."""
        self._times += 1
        self._asked.set()
        for supervisor in self.supervisors if self._times > 1 else ():
            if self._times == 2:  # noqa: PLR2004 - the second time
                supervisor.hurry()
            else:
                supervisor.kill()

    async def come_before(self, work: Awaitable[Any]) -> bool:
        """Await `work`, but not beyond a request to end; return whether there was one."""
        working = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
            if self._asked.is_set():
                return True
            working.result()
            return False
        finally:
            for each in (working, asked):
                each.cancel()
            await asyncio.gather(working, asked, return_exceptions=True)


@contextmanager
def process_failures() -> Generator[None]:
    """Report what keeps processes from running in one line, and end with exit code 1."""
    try:
        yield
    except ProcessError as error:
        complain(str(error))
        raise typer.Exit(FAILED) from None


def patience_with(settings: Settings) -> timedelta:
    """Return how long a worker that is to stop may take before it is killed."""
    return settings.runtime.drain + _SLACK


def voices(names: Sequence[str], settings: Settings, *, own: str) -> LineSink:
    """Return where lines of processes go, and send our own log there as `own`.

    A log in JSON goes as it is: each of its lines names its process.
    """
    if settings.log.format == "json":
        configure(settings.log.level, "json", bound={"process": own})
        return PlainLines()
    console = notices()
    colours = console.color_system is not None and not console.no_color
    sink = PrefixedLines([own, *names], colours=colours)
    log_to(sink, own, settings)
    return sink


def log_to(sink: LineSink, own: str, settings: Settings) -> None:
    """Send our own log to a sink as `own`."""
    # A stream is all that the log needs of a TextIO.
    configure(settings.log.level, settings.log.format, stream=cast("TextIO", SinkStream(sink, own)))


def this_program(config: Path | None, **more: str) -> Program:
    """Return how this program is called again, with the same configuration and `more` variables."""
    environment = {
        name: value for name, value in os.environ.items() if _TWINS.get(name.upper()) not in more
    }
    environment |= {"PYTHONUNBUFFERED": "1"} | more
    if config is not None:
        environment[FILE_VARIABLE] = str(config.absolute())
    # The working directory must not shadow the standard library, unless it is where we are from.
    from_here = Path(__file__).parents[2] == Path.cwd()
    return Program(
        call=(sys.executable, *(() if from_here else ("-P",)), "-m", "octoqueue"),
        environment=environment,
    )
