"""`Switchboard`: the agent's socket, to which its workers and its operators connect.

The first line of a connection says what it is: a worker that introduces itself (see `AgentLink`),
or a question of an operator, which is answered by lines of JSON. Who may connect is decided by the
directory of the socket, which only its owner can enter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import orjson

from octoqueue.fleet.link import LEAVE, READY, RETIRE, SOCKET, WELCOME, socket_place

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

log = logging.getLogger(__name__)

_CREDENTIALS: Final = struct.Struct("3i")
_SOL_LOCAL: Final = 0
_LOCAL_PEERPID: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """How a worker introduces itself."""

    name: str
    fleet: str
    digest: str
    pid: int
    """As the kernel tells it of the other end, where it does."""
    is_ready: bool
    is_leaving: bool


class Desk(Protocol):
    """Who answers."""

    def greet(self, hello: Hello) -> bool | None:
        """Return whether the worker is one of ours and may stay; None: it is to ask again."""
        ...

    def heard_ready(self, hello: Hello) -> None:
        """Take note that a worker has become ready."""
        ...

    def answer(self, question: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Answer an operator, in parts."""
        ...


class Switchboard:
    """Listens; a `Service`."""

    def __init__(self, directory: Path, desk: Desk) -> None:
        self._directory = directory
        self._desk = desk
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._workers: dict[int, asyncio.StreamWriter] = {}
        """Those that are connected, by pid."""

    async def start(self) -> None:
        """Listen, in the place of whoever listened before; call it with the lock held."""
        path = socket_place(self._directory).make() / SOCKET
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._connected, str(path))
        path.chmod(0o600)

    async def stop(self) -> None:
        """Hang up. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    def retire(self, pid: int) -> bool:
        """Ask a worker to end once nothing runs; return whether it is there to hear it."""
        writer = self._workers.get(pid)
        if writer is None or writer.is_closing():
            return False
        writer.write(RETIRE)
        return True

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.get_running_loop().create_task(self._talk(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            said = orjson.loads(await reader.readline())
            if "ask" in said:
                await self._answer(said, writer)
            else:
                peer = cast("socket.socket", writer.get_extra_info("socket"))
                await self._serve(_hello_from(said, _pid_of_peer(peer)), reader, writer)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.debug("connection_ended", extra={"reason": str(error)})
        finally:
            writer.close()

    async def _serve(
        self, hello: Hello, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        may_stay = self._desk.greet(hello)
        if may_stay is None:
            return
        writer.write(WELCOME if may_stay else LEAVE)
        self._workers[hello.pid] = writer
        try:
            while line := await reader.readline():
                if line == READY:
                    self._desk.heard_ready(hello)
        finally:
            if self._workers.get(hello.pid) is writer:
                del self._workers[hello.pid]

    async def _answer(self, question: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        async for part in self._desk.answer(question):
            writer.write(orjson.dumps(part) + b"\n")
            await writer.drain()


async def ask(directory: Path, question: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
    """Ask the agent whose directory this is; give its answer in parts.

    Raises:
        OSError: no agent listens there.
    """
    place = socket_place(directory).find()
    if place is None:
        raise FileNotFoundError(directory)
    reader, writer = await asyncio.open_unix_connection(str(place / SOCKET))
    try:
        writer.write(orjson.dumps(question) + b"\n")
        while line := await reader.readline():
            yield orjson.loads(line)
    finally:
        writer.close()


def _hello_from(said: dict[str, Any], peer_pid: int | None) -> Hello:
    return Hello(
        name=str(said["name"]),
        fleet=str(said["fleet"]),
        digest=str(said["digest"]),
        pid=peer_pid or int(said["pid"]),
        is_ready=bool(said["ready"]),
        is_leaving=bool(said["leaving"]),
    )


def _pid_of_peer(peer: socket.socket) -> int | None:
    """Return whose end it is, None where the kernel does not say."""
    with contextlib.suppress(OSError):
        if hasattr(socket, "SO_PEERCRED"):
            told = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            return int(_CREDENTIALS.unpack(told)[0]) or None
        return peer.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID) or None
    return None
