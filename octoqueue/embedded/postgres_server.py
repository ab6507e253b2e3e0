"""The private PostgreSQL: version 18, on a Unix socket, as durable as by default.

`initdb` works in a folder beside the data and the result is renamed, so a data folder is complete
or not there. The database is created when it is missing, whoever notices.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from octoqueue.embedded.account import common_ground, stand_in_for_root
from octoqueue.embedded.binaries import PostgresBinaries, find_postgres
from octoqueue.embedded.readiness import Readiness
from octoqueue.embedded.sockets import SocketPlace
from octoqueue.embedded.state_dir import make_private
from octoqueue.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedReader

    from octoqueue.embedded.account import Account
    from octoqueue.embedded.launch import Launcher

SUPERUSER = "postgres"
DATABASE = "octoqueue"

_SOCKET = ".s.PGSQL.5432"
_ANSWER_SECONDS = 2.0
_CREATE_SECONDS = 30.0
_INITDB = (
    "--auth-host=reject",
    "--auth-local=trust",
    "--builtin-locale=C.UTF-8",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--locale=C",
    "--no-instructions",
    f"--username={SUPERUSER}",
)
_SETTINGS = {
    "cluster_name": "octoqueue",
    "listen_addresses": "",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_timezone": "UTC",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "unix_socket_permissions": "0700",
}

_PROTOCOL = 3 << 16
_HEADER = struct.Struct("!ci")
_ERROR = b"E"
_READY_FOR_QUERY = b"Z"
_TERMINATE = b"X" + struct.pack("!i", 4)
_DATABASE_MISSING = b"3D000"
_COMING_OR_GOING = b"57P"
"""The class of starting up (57P03) and of shutting down (57P01, 57P02)."""


class PostgresServer:
    """What a private PostgreSQL needs to be started, found and asked."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": end the sessions, write a checkpoint, leave

    def __init__(
        self, state_dir: Path, *, find: Callable[[], PostgresBinaries] = find_postgres
    ) -> None:
        self._find = find
        self._state_dir = state_dir
        self._entrance = state_dir / "postgres"

    @property
    def home(self) -> Path:
        """Where the data is: in the state directory, or where a link there points to."""
        return self._entrance.resolve()

    @property
    def url(self) -> str | None:
        """How to reach the server, None before it was ever started."""
        place = self._sockets(stand_in_for_root(self.home)).find()
        return f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(str(place))}" if place else None

    def probe(self) -> Readiness:
        """Ask the server whether it serves our database."""
        place = self._sockets(stand_in_for_root(self.home)).find()
        return ask_postgres(place / _SOCKET) if place else Readiness.ABSENT

    def launch(self, launcher: Launcher) -> subprocess.Popen[bytes]:
        """Start the server process.

        Raises:
            ServerNotFound: this machine has no PostgreSQL.
            subprocess.SubprocessError: `initdb` failed.
            EmbeddedError: the data folder cannot be made, or another server works in it.
        """
        binaries = self._find()
        account = stand_in_for_root(self.home)
        home = self._make_home(account)
        binaries = binaries.reachable_by(account)
        data = home / "data"
        if not data.exists():
            staging = home / "data.new"
            shutil.rmtree(staging, ignore_errors=True)
            initdb = (binaries.program("initdb"), *_INITDB, f"--pgdata={staging}")
            launcher.run(initdb, home=home, account=account)
            staging.rename(data)
        sockets = self._sockets(account).make()
        _clear_leftovers(data, sockets)
        settings = _SETTINGS | {"unix_socket_directories": str(sockets)}
        command: list[str | Path] = [binaries.program("postgres"), f"-D{data}"]
        command += [f"--{name}={value}" for name, value in settings.items()]
        return launcher.start(command, home=home, account=account)

    def finish(self) -> None:
        """Create the database.

        Raises:
            EmbeddedError: it could not be created, perhaps because another process just did.
            subprocess.SubprocessError: it takes too long.
        """
        place = self._sockets(stand_in_for_root(self.home)).find()
        answer = subprocess.run(  # noqa: S603 - a program of the server we run
            [self._find().program("createdb"), f"--host={place}", "-U", SUPERUSER, DATABASE],
            capture_output=True,
            check=False,
            env={},
            stdin=subprocess.DEVNULL,
            timeout=_CREATE_SECONDS,
        )
        if answer.returncode:
            raise EmbeddedError(answer.stderr.decode(errors="replace").strip())

    def _sockets(self, account: Account | None) -> SocketPlace:
        pointer = self._state_dir / "postgres.sockets"
        return SocketPlace(self.home, pointer=pointer, account=account)

    def _make_home(self, account: Account | None) -> Path:
        """Return the folder of data and socket, made where the server's account can reach it."""
        if account is None:
            return make_private(self._entrance)
        if self._entrance.is_symlink() and not self._entrance.exists():
            raise EmbeddedError(
                f"the data of {self._entrance} was in {self.home}, which is gone: bring it back, "
                "or delete the link to begin anew"
            )
        if not self._entrance.exists():
            if account.can(self._state_dir, os.X_OK):
                self._entrance.mkdir(mode=0o700)
            else:
                elsewhere = tempfile.mkdtemp(dir=common_ground(".data"), prefix="postgres-")
                self._entrance.symlink_to(elsewhere)
        if self.home.stat().st_uid == 0:
            os.chown(self.home, account.uid, account.gid)
        return make_private(self.home, owner=account.uid)


def ask_postgres(path: Path) -> Readiness:
    """Begin a session on the socket at `path`, judge the answer and end the session."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return Readiness.ABSENT
        except OSError:  # its queue of connections is full
            return Readiness.STARTING
        try:
            return _begin_session(connection)
        except OSError:
            return Readiness.STARTING


def _begin_session(connection: socket.socket) -> Readiness:
    body = f"user\0{SUPERUSER}\0database\0{DATABASE}\0\0".encode()
    connection.sendall(struct.pack("!ii", len(body) + 8, _PROTOCOL) + body)
    with connection.makefile("rb") as answer:
        for kind, content in _messages(answer):
            if kind == _ERROR:
                return _judge(content)
            if kind == _READY_FOR_QUERY:
                with contextlib.suppress(OSError):  # a goodbye: it need not be heard
                    connection.sendall(_TERMINATE)
                return Readiness.READY
    return Readiness.STARTING  # it hung up


def _messages(answer: BufferedReader) -> Iterator[tuple[bytes, bytes]]:
    while len(header := answer.read(_HEADER.size)) == _HEADER.size:
        kind, length = _HEADER.unpack(header)
        yield kind, answer.read(length - 4)  # the length counts itself


def _judge(error: bytes) -> Readiness:
    """Judge an error by its code, the field that begins with C."""
    sqlstate = next((field[1:] for field in error.split(b"\0") if field[:1] == b"C"), b"")
    if sqlstate == _DATABASE_MISSING:
        return Readiness.UNFINISHED
    if sqlstate.startswith(_COMING_OR_GOING):
        return Readiness.STARTING
    return Readiness.READY  # it refuses us, for want of connections say, but it serves


def _clear_leftovers(data: Path, sockets: Path) -> None:
    """Remove the lock files of a server that was killed.

    PostgreSQL itself believes such a file when any process of its user has the pid in it. The life
    lock says better that no server of ours lives; the working directory of that process says
    whether it is a server that somebody started by hand.

    Raises:
        EmbeddedError: it is.
    """
    lock = data / "postmaster.pid"
    if not lock.exists() or not Path("/proc/self/cwd").exists():
        return
    pid = os.fsdecode(lock.read_bytes().split(b"\n", 1)[0].strip())
    try:
        works_in = Path("/proc", pid, "cwd").readlink()
    except OSError:  # no such process, or not of our user
        works_in = None
    if works_in == data:
        raise EmbeddedError(f"process {pid} works in {data} and does not answer: end it first")
    lock.unlink()
    (sockets / f"{_SOCKET}.lock").unlink(missing_ok=True)
