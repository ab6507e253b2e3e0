"""Real servers for tests, as fixtures every folder below tests/ can ask for.

`redis_url`     a private Redis of this test session; use key prefixes of your own.
`postgres_dsn`  a private PostgreSQL of this test session, with an empty database.
`state_dir`     where a test may keep an instance of its own; ended and deleted after the test.

They live in short directories of the temporary folder, because the path of a socket is limited. A
session that was killed leaves servers behind: the next one ends them and clears up.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from octoqueue.embedded.life_lock import LifeLock
from octoqueue.embedded.postgres_server import PostgresServer
from octoqueue.embedded.redis_server import RedisServer
from octoqueue.embedded.shared_server import Server, SharedServer
from octoqueue.primitives.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

PREFIX = "oqt-"
DEADLINE = timedelta(seconds=60)


@pytest.fixture(scope="session")
def redis_url(session_dir: Path) -> Iterator[str]:
    """The url of a private Redis; it lives as long as the test session."""
    with running(RedisServer(session_dir / "instance"), session_dir / "instance") as url:
        yield url


@pytest.fixture(scope="session")
def postgres_dsn(session_dir: Path) -> Iterator[str]:
    """The dsn of an empty database on a private PostgreSQL; it lives as long as the session."""
    with running(PostgresServer(session_dir / "instance"), session_dir / "instance") as dsn:
        yield dsn


@pytest.fixture
def state_dir(session_dir: Path) -> Iterator[Path]:
    """A short path for an instance that belongs to one test."""
    parent = reachable_directory(session_dir)
    yield parent / "i"
    end_servers(parent / "i")
    shutil.rmtree(parent)


@pytest.fixture(scope="session")
def session_dir() -> Iterator[Path]:
    """A short directory of this test session."""
    temporary = Path(tempfile.gettempdir())
    clear_up_after_killed_sessions(temporary)
    directory = reachable_directory(temporary)
    with LifeLock(directory / "session.lock").taken():
        yield directory
    shutil.rmtree(directory)


@contextlib.contextmanager
def running(server: Server, directory: Path) -> Generator[str]:
    """A server for the length of the block."""
    shared = SharedServer(server, state_dir=directory, clock=SystemClock())
    try:
        yield shared.start(timeout=DEADLINE)
    finally:
        shared.stop(timeout=DEADLINE)


def reachable_directory(parent: Path) -> Path:
    """A new directory that other users may pass: PostgreSQL does not run as root."""
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    directory.chmod(0o711)
    return directory


def clear_up_after_killed_sessions(temporary: Path) -> None:
    """End the servers and delete the directories of sessions that no longer live."""
    for directory in temporary.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if directory.stat().st_uid != os.geteuid():
                continue
            lock = directory / "session.lock"
            if not lock.exists():  # its session is only just beginning
                continue
            with LifeLock(lock).taken() as taken:
                if taken is not None:
                    for instance in directory.glob("**/redis.lock"):
                        end_servers(instance.parent)
                    for instance in directory.glob("**/postgres.lock"):
                        end_servers(instance.parent)
                    shutil.rmtree(directory, ignore_errors=True)


def end_servers(directory: Path) -> None:
    """Kill what still lives of the instance in `directory`, and wait until nothing does."""
    for name in ("redis", "postgres"):
        lock = LifeLock(directory / f"{name}.lock")
        if pid := lock.holder():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_until_free(lock)


def wait_until_free(lock: LifeLock) -> None:
    """Return when no process holds the lock."""
    pause = threading.Event()
    waits = int(DEADLINE.total_seconds() * 100)
    for _ in range(waits):
        with lock.taken() as taken:
            if taken is not None:
                return
        pause.wait(0.01)
    pytest.fail("a server that was killed is still there")
