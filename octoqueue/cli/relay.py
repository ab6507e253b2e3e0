"""`octoqueue relay`: move messages that transactions left in the outbox into their lanes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Annotated, Final

import typer

from octoqueue.broker.default import default_broker
from octoqueue.cli.modules import import_modules
from octoqueue.cli.output import ConfigOption, failures, run_async
from octoqueue.cli.worker_process import stop_on_signals
from octoqueue.maintenance.relay import Relay
from octoqueue.maintenance.relaying import relaying
from octoqueue.settings.root import Settings
from octoqueue.telemetry.logging import configure
from octoqueue.workflows.database import opened_database

log = logging.getLogger(__name__)

app = typer.Typer(add_completion=False)

_HELP: Final = """
Move messages that transactions left in the outbox of PostgreSQL into their lanes.

\b
    octoqueue relay
    octoqueue relay my_app.actors

One is enough, several do no harm. Modules are needed when SQL enqueues without naming the queue: \
then the actor says it, and its options hold.

SIGTERM or Ctrl-C: it ends after the batch under way.
"""


@app.command(help=_HELP)
def relay(
    modules: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODULE", help="Modules that declare actors.", show_default=False),
    ] = None,
    *,
    config: ConfigOption = None,
) -> None:
    """Move messages that transactions left in the outbox into their lanes."""
    with failures():
        settings = Settings.load(config)
        configure(settings.log.level, settings.log.format)
        import_modules(modules or ())
        run_async(run_relay(settings))


async def run_relay(settings: Settings) -> None:
    """Relay until a signal says to stop.

    Raises:
        EmbeddedError: a private server cannot be started.
        StoreError: the database was not there in time, or is another's.
    """
    ending = asyncio.timeout(None)
    relayed: Relay | None = None
    try:
        async with ending, AsyncExitStack() as stack:
            stop_on_signals(lambda: ending.reschedule(0))
            broker = await stack.enter_async_context(default_broker().connected(settings))
            opening = opened_database(settings, application_name="octoqueue relay")
            pool = await stack.enter_async_context(opening)  # it may wait for the database
            relayed = await stack.enter_async_context(relaying(pool, broker))
            log.info("relay_started")
            await asyncio.Event().wait()
    except TimeoutError:
        if not ending.expired():
            raise
    if relayed is not None:
        log.info("relay_stopped", extra={"relayed": relayed.totals.relayed})
