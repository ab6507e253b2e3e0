"""`SharedServer`: one server that several processes start, join and stop together.

There is one loop. It asks the server; when nobody answers it tries to take the life lock; who gets
it starts the server and hands the lock on, the others go on asking. Every way of dying, at any
line, leaves either a server that answers or a lock that is free.

The weakness: the loop asks again every few milliseconds until the deadline; there is nothing to
wait on that would also tell of a server started by another process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO, Protocol

from octoqueue.embedded.launch import Launcher
from octoqueue.embedded.life_lock import LifeLock
from octoqueue.embedded.readiness import Readiness
from octoqueue.embedded.state_dir import make_private
from octoqueue.errors import EmbeddedError

if TYPE_CHECKING:
    import signal
    from collections.abc import Generator
    from pathlib import Path

    from octoqueue.primitives.clock import Clock

_ASK_AGAIN_SECONDS = 0.01
_TAIL_BYTES = 4096
_LONGEST_LOG_BYTES = 16 << 20
_LAST_CHANCE = timedelta(seconds=5)

_logger = logging.getLogger(__name__)


class Server(Protocol):
    """What one kind of server must know about itself."""

    name: str
    stop_signal: signal.Signals
    """Asks the process for a clean end."""

    @property
    def home(self) -> Path:
        """Where the data is."""
        ...

    @property
    def url(self) -> str | None:
        """How to reach the server, None before it was ever started."""
        ...

    def probe(self) -> Readiness:
        """Ask the server how far it is."""
        ...

    def launch(self, launcher: Launcher) -> subprocess.Popen[bytes]:
        """Start the process. Called with the life lock held, when nobody answers."""
        ...

    def finish(self) -> None:
        """Do what is missing when the server is UNFINISHED; it may be done by two at a time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """What is known about one server of an instance."""

    name: str
    readiness: Readiness
    url: str | None
    """How to reach it; None unless somebody listens."""
    pid: int | None
    started_here: bool
    """Whether this object started or adopted it, and so will stop it."""
    home: Path
    log: Path


class SharedServer:
    """One server of an instance, as one process sees it. Its methods block and are thread-safe."""

    def __init__(self, server: Server, *, state_dir: Path, clock: Clock) -> None:
        self._server = server
        self._state_dir = state_dir
        self._clock = clock
        self._lock = LifeLock(state_dir / f"{server.name}.lock")
        self._log = state_dir / f"{server.name}.log"
        self._log_begins_at = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._adopted: int | None = None
        self._is_wanted = False
        """From a start that succeeded until the stop."""
        self._busy = threading.Lock()
        self._given_up = threading.Event()

    def start(self, *, timeout: timedelta) -> str:
        """Return the url of a server that answers, started here unless it already runs.

        Raises:
            ServerNotFound: this machine has no such server.
            EmbeddedError: it did not answer in time, or ended; carries the end of its log.
        """
        with self._busy:
            return self._start(timeout)

    def revive(self, *, timeout: timedelta) -> bool:
        """Start the server again if nothing of it lives although this object started or joined it.

        Returns whether it was so. Costs next to nothing while the server lives; does nothing
        before `start` and after `stop`.

        Raises:
            EmbeddedError: as `start`; calling this again tries again.
        """
        with self._busy:
            if self._is_wanted and self._lock.holder() is None:
                _logger.warning("embedded_server_died", extra={"server": self._server.name})
                self._start(timeout)
                return True
            return False

    def stop(self, *, timeout: timedelta) -> None:
        """End the server if this object started it; otherwise do nothing. Idempotent."""
        self._given_up.set()
        with self._busy:
            self._given_up.clear()
            self._is_wanted = False
            self._end_child(timeout)
            adopted, self._adopted = self._adopted, None
            if adopted is not None and adopted == self._lock.holder():
                self._end_holder(adopted, timeout)

    def adopt(self, pid: int) -> bool:
        """Own the server that runs as `pid`: `stop` will end it. False when it does not run.

        For whoever takes the place of a process that started it and has died.
        """
        with self._busy:
            self._adopted = pid if self._lock.holder() == pid else None
            return self._adopted is not None

    def shut_down(self, *, timeout: timedelta) -> int | None:
        """End the server whoever started it; return its pid, or None when nothing of it lived.

        Raises:
            EmbeddedError: it did not end in time, or its process is not known.
        """
        with self._busy:
            self._is_wanted = False
            pid = self._lock.holder()
            if self._child is not None:
                self._end_child(timeout)
                return pid
            if pid is None:
                if self._lock.is_held():
                    raise self._failure("lives, but its process is not known")
                return None
            self._end_holder(pid, timeout)
            return pid

    def status(self) -> ServerStatus:
        """Ask the server and its lock."""
        readiness = self._server.probe()
        return ServerStatus(
            name=self._server.name,
            readiness=readiness,
            url=None if readiness is Readiness.ABSENT else self._server.url,
            pid=self._lock.holder(),
            started_here=self._is_ours(),
            home=self._server.home,
            log=self._log,
        )

    def _is_ours(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self._adopted is not None and self._adopted == self._lock.holder()

    def _start(self, timeout: timedelta) -> str:
        try:
            url = self._start_or_join(timeout)
        except (OSError, subprocess.SubprocessError) as error:
            raise self._failure(f"cannot be started: {error}") from error
        self._is_wanted = True
        return url

    def _start_or_join(self, timeout: timedelta) -> str:
        make_private(self._state_dir, mode=0o711 if os.geteuid() == 0 else 0o700)
        deadline = self._clock.monotonic() + timeout.total_seconds()
        started = False
        complaint = ""
        while True:
            readiness = self._server.probe()
            if readiness is Readiness.READY and (url := self._server.url):
                return url
            if started and self._child and (code := self._child.poll()) is not None:
                self._child = None
                raise self._failure(f"ended with exit code {code}")
            if readiness is Readiness.UNFINISHED:
                complaint = self._finish()
            elif readiness is Readiness.ABSENT and not started:
                started = self._launch(timeout)
            if self._given_up.is_set() or self._clock.monotonic() > deadline:
                if started:
                    self._end_child(_LAST_CHANCE)
                raise self._failure(complaint or self._silence(timeout))
            self._given_up.wait(_ASK_AGAIN_SECONDS)

    def _launch(self, timeout: timedelta) -> bool:
        """Start the process if nothing of the server lives; return whether that was so."""
        with self._lock.taken() as descriptor:
            if descriptor is None:
                return False
            if self._child:
                self._child.wait()  # no process of it lives: it only waits to be reaped
                self._child = None
            with self._open_log() as log:
                child = self._server.launch(
                    Launcher(life_lock=descriptor, log=log, timeout=timeout)
                )
            self._child = child
            self._lock.name_holder(descriptor, child.pid)
        _logger.info(
            "embedded_server_started", extra={"server": self._server.name, "pid": child.pid}
        )
        return True

    def _finish(self) -> str:
        try:
            self._server.finish()
        except EmbeddedError as error:
            return str(error)
        return ""

    def _end_child(self, timeout: timedelta) -> None:
        child, self._child = self._child, None
        if child is None or child.poll() is not None:
            return
        child.send_signal(self._server.stop_signal)
        try:
            child.wait(timeout.total_seconds())
        except subprocess.TimeoutExpired:
            _logger.warning(
                "embedded_server_killed: it did not end by itself; its log says what was going on",
                extra={"server": self._server.name, "pid": child.pid},
            )
            child.kill()
            child.wait()
        _logger.info(
            "embedded_server_stopped", extra={"server": self._server.name, "pid": child.pid}
        )

    def _end_holder(self, pid: int, timeout: timedelta) -> None:
        # The lock is held, so the process it names lives: a pid cannot have been used again.
        os.kill(pid, self._server.stop_signal)
        deadline = self._clock.monotonic() + timeout.total_seconds()
        while self._lock.is_held():
            if self._clock.monotonic() > deadline:
                raise self._failure(f"did not end within {timeout.total_seconds():g} s")
            self._given_up.wait(_ASK_AGAIN_SECONDS)
        _logger.info("embedded_server_stopped", extra={"server": self._server.name, "pid": pid})

    @contextlib.contextmanager
    def _open_log(self) -> Generator[BinaryIO]:
        with contextlib.suppress(FileNotFoundError):
            if self._log.stat().st_size > _LONGEST_LOG_BYTES:
                self._log.replace(self._log.with_suffix(".log.1"))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(self._log, flags, 0o600), "ab") as log:
            self._log_begins_at = log.tell()
            yield log

    def _silence(self, timeout: timedelta) -> str:
        if self._given_up.is_set():
            return "was not waited for any longer, because it is to be stopped"
        said = f"did not answer within {timeout.total_seconds():g} s"
        holder = self._lock.holder()
        return f"{said}; process {holder} holds {self._log.stem}.lock" if holder else said

    def _failure(self, what: str) -> EmbeddedError:
        tail = ""
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_begins_at, end - _TAIL_BYTES))
            tail = log.read().decode(errors="replace").strip()
        told = f"; the end of {self._log}:\n{tail}" if tail else f"; {self._log} says nothing"
        return EmbeddedError(f"{self._server.name} {what}{told}")
