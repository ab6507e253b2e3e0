"""uvicorn, told when to stop by us, and telling when it serves."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from octoqueue.cli.footprint import settle_in
from octoqueue.cli.joined_writes import JoinedWrites
from octoqueue.cli.worker_process import stop_on_signals
from octoqueue.errors import ModuleUnusable
from octoqueue.fleet.lifeline import ChildEnd

log = logging.getLogger(__name__)

_LAST_ANSWERS_SECONDS = 10
"""What a stopping server gives requests that it is answering."""


async def serve_http(
    application: Callable[..., Any],
    listening: socket.socket,
    *,
    name: str,
    lifeline: ChildEnd | None = None,
    on_start: Callable[[], None],
) -> None:
    """Serve until a signal, or the end of the supervisor, says to stop.

    Raises:
        ModuleUnusable: the application did not start; says why.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    explained = _Explained(application)
    server = _Server(
        uvicorn.Config(
            explained,
            http=_Protocol,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
        ),
        on_start=on_start,
    )
    is_to_stop = False

    def stop() -> None:
        nonlocal is_to_stop
        is_to_stop = True
        server.stop()
        if not server.started:
            explained.give_up()  # it may wait for long, for a database say

    stop_on_signals(stop)
    if lifeline is not None:
        lifeline.watch(stop)
    try:
        await server.serve(sockets=[listening])
    except SystemExit:  # how uvicorn says that the application did not start
        if is_to_stop:
            return
        raise ModuleUnusable(name, f"did not start: {explained.reason}") from None


def _is_news(record: logging.LogRecord) -> bool:
    return record.getMessage() != "Application startup failed. Exiting."  # we say why


class _Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's, with an answer in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        joined = JoinedWrites(
            cast("asyncio.Transport", transport), asyncio.get_running_loop().call_soon
        )
        super().connection_made(cast("asyncio.Transport", joined))


class _Server(uvicorn.Server):
    """uvicorn, without its own ideas of signals."""

    def __init__(self, config: uvicorn.Config, *, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        settle_in()
        self._on_start()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to us: uvicorn would raise them again when it is done."""
        yield

    def stop(self) -> None:
        """Answer what has begun and end; when called again, end at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


class _Explained:
    """An ASGI application that remembers why it did not start.

    Frameworks give the whole traceback as the reason; its last line is for everybody, all of it
    for who debugs.
    """

    def __init__(self, application: Callable[..., Any]) -> None:
        self.reason = "its log says why"
        self._application = application
        self._lifespan: asyncio.Task[Any] | None = None

    def give_up(self) -> None:
        """Cancel a start that is under way."""
        if self._lifespan is not None:
            self._lifespan.cancel()

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return

        self._lifespan = asyncio.current_task()

        async def shortened(message: dict[str, Any]) -> None:
            told = str(message.get("message", "")).strip()
            if message["type"] == "lifespan.startup.failed" and told:
                log.debug("application_failed: %s", told)
                self.reason = told.splitlines()[-1]
                message = message | {"message": ""}
            await send(message)

        await self._application(scope, receive, shortened)
