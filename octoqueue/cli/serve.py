"""`octoqueue serve`: serve the HTTP application of the configuration."""

from __future__ import annotations

import inspect
import logging
import os
import socket
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from octoqueue.cli.listening import listen, url_of
from octoqueue.cli.modules import blaming, import_target
from octoqueue.cli.output import ConfigOption, failures, run_async
from octoqueue.cli.supervision import process_failures
from octoqueue.errors import ConfigError, ModuleUnusable
from octoqueue.fleet.lifeline import ChildEnd
from octoqueue.settings.file_choice import FILE_VARIABLE
from octoqueue.settings.root import Settings
from octoqueue.telemetry.logging import configure

log = logging.getLogger(__name__)

app = typer.Typer(add_completion=False)

_HELP: Final = """
Serve the HTTP application that the configuration names (http.app), on http.host and http.port.

\b
    octoqueue serve
    octoqueue serve --host 0.0.0.0 --port 9000

SIGTERM or Ctrl-C: it takes no new connections and answers what it has begun to. octoqueue up \
serves the application and runs the workers as well.
"""


@app.command(help=_HELP)
def serve(
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
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    name: Annotated[str | None, typer.Option(hidden=True)] = None,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> None:
    """Serve the HTTP application that the configuration names."""
    if config is not None:
        os.environ[FILE_VARIABLE] = str(config.absolute())  # the application reads it by itself
    with failures(), process_failures():
        settings = Settings.load(config, overrides={"http.host": host, "http.port": port})
        bound = {"process": name} if name and settings.log.format == "json" else None
        configure(settings.log.level, settings.log.format, bound=bound)
        lifeline = ChildEnd.on_standard_input() if supervised else None
        application = _application(settings)
        with _listening(settings, fd) as listening:
            run_async(_serve(application, listening, settings, lifeline))


def _listening(settings: Settings, fd: int | None) -> socket.socket:
    if fd is not None:
        return socket.socket(fileno=fd)
    return listen(settings.http.host, settings.http.port)


def _application(settings: Settings) -> Callable[..., Any]:
    target = settings.http.app
    if target is None:
        raise ConfigError(
            "http.app: name the application to serve, as my_app.web:create_app", key="http.app"
        )
    found = import_target(target)
    if callable(found) and _makes_application(found):
        with blaming(target, "cannot be made"):
            found = found()
    if not callable(found):
        raise ModuleUnusable(target, "is neither an ASGI application nor a function that makes one")
    return found


def _makes_application(found: Callable[..., Any]) -> bool:
    """Return whether `found` wants no arguments; an ASGI application wants three."""
    parameters = inspect.signature(found).parameters.values()
    return not any(
        parameter.default is parameter.empty
        and parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
        for parameter in parameters
    )


async def _serve(
    application: Callable[..., Any],
    listening: socket.socket,
    settings: Settings,
    lifeline: ChildEnd | None,
) -> None:
    try:
        from octoqueue.cli.http_server import serve_http  # noqa: PLC0415 - wants an extra
    except ModuleNotFoundError as error:
        reason = "is not installed: pip install 'octoqueue[http]'"
        raise ModuleUnusable(str(error.name), reason) from None

    def started() -> None:
        log.info("http_started", extra={"url": url_of(listening)})
        if lifeline is not None:
            lifeline.say_ready()

    await serve_http(
        application,
        listening,
        name=str(settings.http.app),
        lifeline=lifeline,
        on_start=started,
    )
