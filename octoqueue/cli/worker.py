"""`octoqueue worker`: run the actors of some modules."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Annotated, Final

import typer

from octoqueue.cli.lifelines import AgentOption, DigestOption, lifeline_of
from octoqueue.cli.modules import import_modules
from octoqueue.cli.output import ConfigOption, failures, run_async
from octoqueue.cli.supervision import (
    Interrupts,
    patience_with,
    process_failures,
    this_program,
    voices,
)
from octoqueue.cli.worker_process import run_worker
from octoqueue.fleet.lifeline import Lifeline
from octoqueue.fleet.plan import Fleet, worker_specs
from octoqueue.fleet.processes import Supervisor
from octoqueue.primitives.service import ServiceGroup
from octoqueue.settings.root import Settings
from octoqueue.telemetry.logging import configure

log = logging.getLogger(__name__)

app = typer.Typer(add_completion=False)

_HELP: Final = """
Run the actors that some modules declare.

\b
    octoqueue worker my_app.actors
    octoqueue worker my_app.actors --queues coder,judge --concurrency 20
    octoqueue worker my_app.actors my_app.reports --processes 4

SIGTERM or Ctrl-C: it claims nothing more, lets what runs finish (for runtime.drain, 25 s), and \
hands back the rest, which costs those messages no attempt. A second one: it hands back at once.

A module may have a lifespan, an async context manager made from the settings, which each worker \
process holds open while it works: the place for a connection pool.
"""

_ACTOR_THREADS: Final = "octoqueue-actor"
_LAST_SECONDS: Final = 0.5


@app.command(help=_HELP)
def worker(
    modules: Annotated[
        list[str],
        typer.Argument(metavar="MODULE", help="Modules that declare actors.", show_default=False),
    ],
    *,
    queues: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Queues to claim from (default: those of the actors).",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Messages at the same time (default: runtime.concurrency).",
            show_default=False,
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Worker processes; one that dies comes back.")
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Threads for actors that are plain functions (default: as needed).",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    name: Annotated[str | None, typer.Option(hidden=True)] = None,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
    agent: AgentOption = None,
    fleet: Annotated[
        str,
        typer.Option(metavar="NAME", help="Fleet that it counts towards.", show_default=False),
    ] = "",
    digest: DigestOption = "",
) -> None:
    """Run the actors that some modules declare."""
    overrides = {"runtime.concurrency": concurrency, "runtime.threads": threads}
    with failures(), process_failures():
        settings = Settings.load(config, overrides=overrides)
        crew = Fleet(
            name="worker",
            modules=tuple(modules),
            queues=_names(queues),
            concurrency=settings.runtime.concurrency,
            threads=settings.runtime.threads,
            processes=processes,
        )
        lifeline = lifeline_of(
            settings, supervised=supervised, agent=agent, name=name, fleet=fleet, digest=digest
        )
        if processes > 1:
            asyncio.run(_run_processes(crew, fleet, settings, config, lifeline))
        else:
            bound = {"process": name} if name and settings.log.format == "json" else None
            configure(settings.log.level, settings.log.format, bound=bound)
            imported = import_modules(crew.modules)
            running = run_worker(
                settings,
                imported,
                queues=crew.queues,
                lifeline=lifeline,
                name=name or "",
                fleet=fleet,
            )
            run_async(running)
            _leave()


def _names(listed: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (listed or "").split(",") if name.strip())


async def _run_processes(
    crew: Fleet,
    fleet: str,
    settings: Settings,
    config: Path | None,
    lifeline: Lifeline | None,
) -> None:
    """Keep the processes of a fleet alive until a signal says to stop.

    Raises:
        ProcessGivenUp: one of them is not worth another try; all have been stopped.
    """
    specs = worker_specs(crew, this_program(config), counted_to=fleet)
    interrupts = Interrupts()
    if lifeline is not None:
        lifeline.watch(interrupts.ask)
    sink = voices([spec.name for spec in specs], settings, own="octoqueue")
    supervisor = Supervisor(specs, sink=sink, patience=patience_with(settings))
    interrupts.supervisors.append(supervisor)
    async with ServiceGroup([supervisor]):
        if await interrupts.come_before(supervisor.wait_until_ready()):
            return
        if lifeline is not None:
            lifeline.say_ready()
        await interrupts.come_before(supervisor.wait_for_failure())


def _leave() -> None:
    """Leave for good when threads remain: their messages are handed back, but Python would wait."""
    actors = [thread for thread in threading.enumerate() if thread.name.startswith(_ACTOR_THREADS)]
    for thread in actors:
        thread.join(_LAST_SECONDS / len(actors))
    stuck = sum(thread.is_alive() for thread in actors)
    if stuck:
        log.warning("threads_abandoned", extra={"threads": stuck})
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
