"""The socket of the HTTP application, and asking who answers on it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from typing import Final, cast

from octoqueue.errors import ConfigError, PortTaken

_BACKLOG: Final = 2048
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared
_LONGEST_ANSWER_SECONDS: Final = 5


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host` and `port`; port 0 takes a free one.

    Raises:
        PortTaken: another program has the port.
        ConfigError: the address is none of this machine, or the port is not for this user.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigError(f"http.host: {host!r}: {error.strerror}", key="http.host") from None
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(host, port) from None
        key = "http.port" if isinstance(error, PermissionError) else "http.host"
        raise ConfigError(
            f"{key}: cannot listen on {host}:{port}: {error.strerror}", key=key
        ) from None
    return listening


def url_of(listening: socket.socket) -> str:
    """Return how a program on this machine reaches a listening socket."""
    host, port = _address(listening)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def status_of(listening: socket.socket, path: str) -> int | None:
    """Return the status with which `GET path` is answered, None when it is not."""
    host, port = _address(listening)
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    with contextlib.suppress(OSError, TimeoutError, ValueError, IndexError):
        async with asyncio.timeout(_LONGEST_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request.encode("ascii"))
                line = await reader.readline()
                return int(line.split()[1])
            finally:
                writer.close()
    return None


def _address(listening: socket.socket) -> tuple[str, int]:
    host, port = cast("tuple[str, int]", listening.getsockname()[:2])
    return _ANYWHERE.get(host, host), port
