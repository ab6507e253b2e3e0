"""One run of the demonstration, from the start of the servers to their end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TextIO

from rich.console import Console

from octoqueue.cli.demo.fleets import quickened, resized_by, shrink, sizes_of
from octoqueue.cli.demo.goals import goals
from octoqueue.cli.demo.load import Load
from octoqueue.cli.demo.progress import Progress
from octoqueue.cli.demo.summary import Summary, summary_of
from octoqueue.cli.installation import Installation
from octoqueue.cli.listening import url_of
from octoqueue.cli.reading import store_of
from octoqueue.cli.supervision import Interrupts, log_to
from octoqueue.fleet.lines import PrefixedLines
from octoqueue.fleet.plan import HTTP, Fleet, fleets_from
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.settings.root import Settings

_OWN_NAME: Final = "demo"
_SHRINKING: Final = timedelta(seconds=25)
"""What fleets may need to become small again: the window, a drain, and some looks."""


async def demonstrate(
    settings: Settings,
    *,
    tasks: int,
    config: Path | None,
    log_file: TextIO,
    console: Console | None,
) -> Summary | None:
    """Run it and return what came of it; None when it was interrupted.

    Args:
        settings: an installation of its own.
        tasks: how many to put in.
        config: the file that the processes are to read.
        log_file: takes what the processes say.
        console: shows how far it is; nothing is shown when None.

    Raises:
        OctoqueueError: it could not be started or did not go on; everything has been stopped.
    """
    settings = quickened(settings)
    fleets, clock, interrupts = fleets_from(settings), SystemClock(), Interrupts()
    names = [name for fleet in fleets for name in fleet.process_names]
    sink = PrefixedLines([_OWN_NAME, *names, HTTP], out=log_file, err=log_file)
    log_to(sink, _OWN_NAME, settings)
    told = _processes_of(fleets)
    load = Load(goals(tasks), clock=clock)
    async with Installation(settings, fleets, sink=sink, config=config) as installation:
        interrupts.supervisors = installation.supervisors
        began = clock.monotonic()
        with _status(console, f"Starting Redis, PostgreSQL, {told} and HTTP …"):
            was_interrupted = await interrupts.come_before(installation.start())
        if console is not None and not was_interrupted:
            seconds = clock.monotonic() - began
            console.print(
                f"Redis, PostgreSQL, {told} and HTTP are up after {seconds:.1f} s; "
                f"{tasks} tasks go in."
            )
        since_ms = clock.now_ms()
        was_interrupted = was_interrupted or await interrupts.come_before(
            _run(load, installation, console, clock)
        )
        agent = installation.agent
        if agent is not None and not was_interrupted:
            with _status(console, "Everything is done; waiting for the fleets to shrink …"):
                was_interrupted = await interrupts.come_before(
                    shrink(agent, within=_SHRINKING, clock=clock)
                )
        resized = resized_by(agent, since_ms=since_ms)
        fewest = {} if agent is None else {n: c.fleet.least for n, c in agent.crews.items()}
        has_shrunk = sizes_of(agent) == fewest
        with _status(console, "Stopping everything …"):
            await installation.stop()
    if was_interrupted:
        return None
    return replace(summary_of(load.tally), resized=resized, has_shrunk=has_shrunk)


async def _run(
    load: Load, installation: Installation, console: Console | None, clock: Clock
) -> None:
    """Run the load, and show how far it is.

    Raises:
        ProcessError: it does not go on.
    """
    assert installation.listening is not None  # noqa: S101 - it has an application
    work = installation.unless_it_fails(load.run(url_of(installation.listening)))
    if console is None:
        await work
        return
    settings = installation.settings
    redis = settings.redis.model_copy(update={"url": installation.redis_url})
    async with store_of(settings.model_copy(update={"redis": redis})) as store:
        serving = {q: name for name, fleet in settings.fleets.items() for q in fleet.queues}
        progress = Progress(
            load.tally,
            store,
            serving,
            sizes=lambda: sizes_of(installation.agent),
            console=console,
            clock=clock,
        )
        finished = asyncio.Event()
        showing = asyncio.create_task(progress.show(finished))
        try:
            await work
        finally:
            finished.set()
            await showing


def _processes_of(fleets: Sequence[Fleet]) -> str:
    """Return how many of which there are: `1 orchestrator, 7 workers`."""
    counts = Counter[str]()
    for fleet in fleets:
        counts[fleet.kind] += fleet.processes
    return ", ".join(
        f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in sorted(counts.items())
    )


def _status(console: Console | None, text: str) -> AbstractContextManager[Any]:
    if console is None:
        return nullcontext()
    if not console.is_terminal:
        console.print(text)
        return nullcontext()
    return console.status(text)
