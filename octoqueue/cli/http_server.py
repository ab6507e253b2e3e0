"""uvicorn, told when to stop by us, and telling when it serves."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from octoqueue.cli.worker_process import stop_on_signals
from octoqueue.fleet.lifeline import ChildEnd

log = logging.getLogger(__name__)

_LAST_ANSWERS_SECONDS = 10
"""What a stopping server gives requests that it is answering."""


async def serve_http(
    application: Callable[..., Any],
    listening: socket.socket,
    *,
    lifeline: ChildEnd | None = None,
    on_start: Callable[[], None],
) -> bool:
    """Serve until a signal, or the end of the supervisor, says to stop.

    Return False when the application did not start; it has said why in the log.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)

    def started() -> None:
        on_start()
        if lifeline is not None:
            lifeline.say_ready()

    server = _Server(
        uvicorn.Config(
            application,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
        ),
        on_start=started,
    )
    stop_on_signals(server.stop)
    if lifeline is not None:
        lifeline.watch(server.stop)
    try:
        await server.serve(sockets=[listening])
    except SystemExit:  # how uvicorn says that the application did not start
        return False
    return True


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_start()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to us: uvicorn would raise them again when it is done."""
        yield

    def stop(self) -> None:
        """Answer what has begun and end; when called again, end at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
