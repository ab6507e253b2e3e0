"""`octoqueue scaler`: tell KEDA how many workers each fleet wants."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import typer

from octoqueue.cli.modules import blaming, import_target
from octoqueue.cli.output import ConfigOption, failures, run_async
from octoqueue.cli.reading import with_redis
from octoqueue.cli.supervision import process_failures
from octoqueue.errors import ModuleUnusable
from octoqueue.settings.root import Settings
from octoqueue.telemetry.logging import configure

app = typer.Typer(add_completion=False)

_HELP: Final = """
Serve KEDA's external scaler (scaler.app), on scaler.host and scaler.port.

\b
    octoqueue scaler
    octoqueue scaler --host 0.0.0.0 --port 6000

Any number of replicas may run: what must be remembered is in Redis. /metrics is on \
scaler.metrics_port. SIGTERM or Ctrl-C: it takes no new calls and answers those it has begun to.
"""


@app.command(help=_HELP)
def scaler(
    *,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on (default: scaler.host).",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Port to listen on, 0 for a free one (default: scaler.port).",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Serve KEDA's external scaler."""
    with failures(), process_failures():
        settings = Settings.load(config, overrides={"scaler.host": host, "scaler.port": port})
        configure(settings.log.level, settings.log.format)
        serve = _server_of(settings)
        run_async(_run(serve, settings))


def _server_of(settings: Settings) -> Callable[[Settings], Awaitable[Any]]:
    target = settings.scaler.app
    try:
        found = import_target(target)
    except ModuleUnusable as error:
        hint = (
            "scaler.app names it; the one of this project is in its image and its repository, and "
            "wants: pip install 'octoqueue[keda]'"
        )
        raise ModuleUnusable(error.module, f"{_reason_of(error)} ({hint})") from error
    if not inspect.iscoroutinefunction(found):
        raise ModuleUnusable(target, "is no async function that is given the settings (scaler.app)")
    return found


def _reason_of(error: ModuleUnusable) -> str:
    return str(error).removeprefix(error.module).strip()


async def _run(serve: Callable[[Settings], Awaitable[Any]], settings: Settings) -> None:
    with blaming(settings.scaler.app, "failed"):
        await serve(await with_redis(settings))
