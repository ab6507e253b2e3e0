"""`octoqueue up`: everything on one machine, in the foreground."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final

import typer

from octoqueue.cli.declared import declared_kinds
from octoqueue.cli.installation import Installation
from octoqueue.cli.listening import status_of, url_of
from octoqueue.cli.output import ConfigOption, failures
from octoqueue.cli.supervision import Interrupts, process_failures, this_program, voices
from octoqueue.errors import ConfigError
from octoqueue.fleet.plan import HTTP, Fleet, fleets_from
from octoqueue.settings.root import Settings

log = logging.getLogger(__name__)

app = typer.Typer(add_completion=False)

_HELP: Final = """
Start everything on this machine, in the foreground: a private Redis (and PostgreSQL, when tasks \
or workflows are kept) where no URL is configured, the HTTP application, and the processes of each \
fleet.

\b
    octoqueue up                    what octoqueue.yaml in this folder says
    octoqueue up my_app             one worker for its actors, one orchestrator for its workflows
    octoqueue up --port 9000

Ctrl-C ends it in order: no new tasks, running messages finish (for runtime.drain, 25 s), then the \
servers that were started stop; their data stays. A second Ctrl-C does not wait for the messages.
"""

_OWN_NAME: Final = "up"
_TASKS: Final = "/api/v1/tasks"

_CURL: Final = """
Try it:

  curl -s {url}/api/v1/tasks -H 'content-type: application/json' \\
    -d '{{"goal": "List files in /tmp directory", "priority": "high"}}'
  curl -s {url}/api/v1/tasks/<task_id>
"""


@app.command(help=_HELP)
def up(
    modules: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODULE",
            help="Modules that declare actors and workflows, instead of the configured fleets.",
            show_default=False,
        ),
    ] = None,
    *,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Address to listen on (default: http.host).", show_default=False
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Port to listen on, 0 for a free one (default: http.port).",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Start everything on this machine, in the foreground."""
    with failures(), process_failures():
        settings = Settings.load(config, overrides={"http.host": host, "http.port": port})
        kinds = declared_kinds(modules, this_program(config)) if modules else ()
        fleets = fleets_from(settings, modules or (), kinds=kinds)
        if not fleets and settings.http.app is None:
            raise ConfigError(
                "nothing to start: name modules (octoqueue up my_app.actors), or fleets in "
                "octoqueue.yaml",
                key="fleets",
            )
        asyncio.run(_up(settings, fleets, config))


async def _up(settings: Settings, fleets: tuple[Fleet, ...], config: Path | None) -> None:
    """Start everything and keep it up until a signal.

    Raises:
        OctoqueueError: something cannot be started, or ended for good; all has been stopped.
    """
    interrupts = Interrupts()
    names = [name for fleet in fleets for name in fleet.process_names]
    sink = voices([*names, HTTP], settings, own=_OWN_NAME)
    async with Installation(settings, fleets, sink=sink, config=config) as installation:
        interrupts.supervisors = installation.supervisors
        if not await interrupts.come_before(installation.start()):
            typer.echo(await _announcement(installation))
            await interrupts.come_before(installation.wait_for_failure())
        log.info("stopping")
    log.info("stopped")


async def _announcement(installation: Installation) -> str:
    listening = installation.listening
    if listening is None:
        return f"\noctoqueue is ready: {_counted(installation)}. Ctrl-C stops it.\n"
    url = url_of(listening)
    ready = f"\noctoqueue is ready on {url} (Ctrl-C stops it)\n"
    takes_tasks = await status_of(listening, _TASKS) == HTTPStatus.METHOD_NOT_ALLOWED
    return ready + (_CURL.format(url=url) if takes_tasks else "")


def _counted(installation: Installation) -> str:
    """Return how many processes there are of each kind."""
    counts = Counter[str]()
    for crew in installation.agent.crews.values() if installation.agent else ():
        counts[crew.fleet.kind] += crew.size
    return ", ".join(
        f"{count} {kind}" if count == 1 else f"{count} {kind}s" for kind, count in counts.items()
    )
