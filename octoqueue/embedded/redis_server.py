"""The private Redis: append-only, on a Unix socket, never evicting.

A write that was acknowledged may still be lost when the machine (not the server) goes down within a
second of it: the append-only file is synced every second, not at every write.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import TYPE_CHECKING

from octoqueue.embedded.binaries import RedisBinary, find_redis
from octoqueue.embedded.readiness import Readiness
from octoqueue.embedded.sockets import SocketPlace
from octoqueue.embedded.state_dir import make_private
from octoqueue.errors import EmbeddedError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from octoqueue.embedded.launch import Launcher

_SOCKET = "redis.sock"
_ANSWER_SECONDS = 1.0
_FIRST_WITH_APPEND_DIR = (7, 0)

_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "logfile": "",  # standard output, which is redis.log
}


class RedisServer:
    """What a private Redis needs to be started, found and asked."""

    name = "redis"
    stop_signal = signal.SIGTERM

    def __init__(self, state_dir: Path, *, find: Callable[[], RedisBinary] = find_redis) -> None:
        self._find = find
        self._home = state_dir / "redis"
        self._sockets = SocketPlace(self._home, pointer=state_dir / "redis.sockets")

    @property
    def home(self) -> Path:
        """Where the data is."""
        return self._home

    @property
    def url(self) -> str | None:
        """How to reach the server, None before it was ever started."""
        place = self._sockets.find()
        return f"unix://{place / _SOCKET}" if place else None

    def probe(self) -> Readiness:
        """Ask the server whether it serves."""
        place = self._sockets.find()
        return ask_redis(place / _SOCKET) if place else Readiness.ABSENT

    def launch(self, launcher: Launcher) -> subprocess.Popen[bytes]:
        """Start the server process.

        Raises:
            ServerNotFound: this machine has no Redis.
            EmbeddedError: the data cannot be read by the Redis found here.
        """
        binary = self._find()
        make_private(self._home)
        if binary.version < _FIRST_WITH_APPEND_DIR and (self._home / "appendonlydir").exists():
            found = ".".join(map(str, binary.version))
            raise EmbeddedError(
                f"{self._home} was written by Redis 7 or newer and {binary.path} is {found}, which "
                "would see it as empty: put the newer server back on PATH"
            )
        settings = _SETTINGS | {
            "dir": str(self._home),
            "unixsocket": str(self._sockets.make() / _SOCKET),
        }
        arguments = [word for key, value in settings.items() for word in (f"--{key}", value)]
        return launcher.start([binary.path, *arguments], home=self._home)

    def finish(self) -> None:
        """Do nothing: a Redis that serves is complete."""


def ask_redis(path: Path) -> Readiness:
    """Send PING to the socket at `path` and judge the answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return Readiness.ABSENT
        except OSError:  # its queue of connections is full
            return Readiness.STARTING
        answer = b""
        with contextlib.suppress(OSError):
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
    if not answer or answer.startswith(b"-LOADING"):
        return Readiness.STARTING
    return Readiness.READY
