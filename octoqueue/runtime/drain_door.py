"""`DrainDoor`: where whoever is about to stop a worker tells it so, and hears what still runs.

A Unix socket in a private directory of this user below the directory for temporary files: it needs
neither Redis nor PostgreSQL, nor a process that passes signals on. One line in, one line out:

    quiet    the worker claims nothing more, for good, and says what runs (`Running` as JSON)
    status   it says what runs

Only processes of the same user in the same container come in. A worker that can make no door works
without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import orjson

from octoqueue.embedded.state_dir import distrust, make_private
from octoqueue.errors import EmbeddedError
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from octoqueue.runtime.worker import Worker

log = logging.getLogger(__name__)

QUIET: Final = b"quiet\n"
STATUS: Final = b"status\n"

_PROBE_SECONDS: Final = 0.2
_LONGEST_LINE_BYTES: Final = 64
_TURNS_TO_COME_IN: Final = 3
"""Of the loop: Python 3.11 leaks a connection whose server is closed while it is being accepted."""

MOST_SHOWN: Final = 10
"""Messages that one answer names; the oldest first."""


def doors_of_this_user() -> Path:
    """Return the directory of the sockets."""
    return Path(tempfile.gettempdir()) / f"octoqueue-workers-{os.geteuid()}"


def live_doors() -> list[Path]:
    """Return the sockets somebody listens on; those of workers that were killed are removed.

    In a directory that somebody else has made there are none.
    """
    alive: list[Path] = []
    directory = doors_of_this_user()
    if not directory.exists() or distrust(directory, owner=os.geteuid()):
        return alive
    for door in sorted(directory.glob("*.sock")):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_PROBE_SECONDS)
            try:
                probe.connect(os.fspath(door))
            except FileNotFoundError:
                continue
            except ConnectionRefusedError:
                with contextlib.suppress(OSError):
                    door.unlink(missing_ok=True)
                continue
            except OSError:
                pass  # somebody is there who has no time
        alive.append(door)
    return alive


class DrainDoor:
    """One worker's socket."""

    def __init__(self, worker: Worker, *, name: str = "", clock: Clock | None = None) -> None:
        self._worker = worker
        self._name = name or f"{socket.gethostname()}-{os.getpid()}"
        self._clock = clock or SystemClock()
        self._server: asyncio.Server | None = None
        self._guests: set[asyncio.Transport] = set()
        self._path: Path | None = None

    async def start(self) -> None:
        """Listen, if that is possible."""
        try:
            directory = make_private(doors_of_this_user())
            live_doors()
            self._path = directory / f"{os.getpid()}-{secrets.token_hex(4)}.sock"
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(
                lambda: _Guest(self), os.fspath(self._path)
            )
        except (OSError, EmbeddedError) as error:
            self._path = None
            log.info("no_drain_door", extra={"reason": str(error)})

    async def stop(self) -> None:
        """Close, and let go whoever is there. Idempotent."""
        server, self._server = self._server, None
        path, self._path = self._path, None
        if path is not None:
            path.unlink(missing_ok=True)
        if server is not None:
            for _ in range(_TURNS_TO_COME_IN):
                await asyncio.sleep(0)  # noqa: TID251 - no time
            server.close()
        for guest in tuple(self._guests):
            guest.abort()

    def came(self, guest: asyncio.Transport) -> None:
        """Be told of a connection."""
        self._guests.add(guest)
        if self._path is None:
            guest.abort()

    def went(self, guest: asyncio.Transport) -> None:
        """Be told of the end of a connection."""
        self._guests.discard(guest)

    def answer(self, line: bytes) -> bytes:
        """Do what a line asks for; return what runs."""
        if line == QUIET:
            self._worker.quiet()
        return self._said()

    def _said(self) -> bytes:
        now = self._clock.monotonic()
        running = sorted(self._worker.running, key=lambda attempt: attempt.began)
        risk = self._worker.at_risk()
        said = {
            "name": self._name,
            "pid": os.getpid(),
            "running": len(running),
            "at_risk_seconds": risk.seconds,
            "at_risk_cost": risk.cost,
            "oldest": [
                {"actor": attempt.call.actor, "seconds": max(0.0, now - attempt.began)}
                for attempt in running[:MOST_SHOWN]
            ],
        }
        return orjson.dumps(said) + b"\n"


class _Guest(asyncio.Protocol):
    """One connection."""

    def __init__(self, door: DrainDoor) -> None:
        self._door = door
        self._heard = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._door.came(self._transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._heard = (self._heard + data).split(b"\n")
        if len(self._heard) > _LONGEST_LINE_BYTES:
            self._transport.abort()
            return
        for line in lines:
            self._transport.write(self._door.answer(line + b"\n"))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._door.went(self._transport)
