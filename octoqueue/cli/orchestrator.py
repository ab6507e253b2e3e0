"""`octoqueue orchestrator`: run the workflows of some modules."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Annotated, Final

import typer

from octoqueue.cli.lifelines import AgentOption, DigestOption, lifeline_of
from octoqueue.cli.modules import import_modules
from octoqueue.cli.orchestrator_process import run_orchestrator
from octoqueue.cli.output import ConfigOption, failures, run_async
from octoqueue.orchestrator.functions import FUNCTION_THREADS
from octoqueue.settings.root import Settings
from octoqueue.telemetry.logging import configure

log = logging.getLogger(__name__)

app = typer.Typer(add_completion=False)

_LAST_SECONDS: Final = 0.5

_HELP: Final = """
Run the workflows that some modules declare. Their steps are messages, which workers run.

\b
    octoqueue orchestrator my_app.workflows
    octoqueue orchestrator my_app.workflows my_app.reports --concurrency 8

One is enough; several divide the partitions of workflows between them, and when one dies the \
others take over within seconds.

SIGTERM or Ctrl-C: it writes what it has begun, gives its partitions to the others and ends.
"""


@app.command(help=_HELP)
def orchestrator(
    modules: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE", help="Modules that declare workflows.", show_default=False
        ),
    ],
    *,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Functions of ctx.run at the same time (default: workflows.concurrency).",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    name: Annotated[str | None, typer.Option(hidden=True)] = None,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
    agent: AgentOption = None,
    fleet: Annotated[str, typer.Option("--fleet", hidden=True)] = "",
    digest: DigestOption = "",
) -> None:
    """Run the workflows that some modules declare."""
    with failures():
        settings = Settings.load(config, overrides={"workflows.concurrency": concurrency})
        lifeline = lifeline_of(
            settings, supervised=supervised, agent=agent, name=name, fleet=fleet, digest=digest
        )
        bound = {"process": name} if name and settings.log.format == "json" else None
        configure(settings.log.level, settings.log.format, bound=bound)
        imported = import_modules(modules)
        running = run_orchestrator(
            settings, imported, lifeline=lifeline, name=name or "", fleet=fleet
        )
        run_async(running)
        _leave()


def _leave() -> None:
    """Leave for good when functions still run in threads: they run again, but Python would wait."""
    stuck = [each for each in threading.enumerate() if each.name.startswith(FUNCTION_THREADS)]
    for thread in stuck:
        thread.join(_LAST_SECONDS / len(stuck))
    left = sum(thread.is_alive() for thread in stuck)
    if left:
        log.warning("threads_abandoned", extra={"threads": left})
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
