from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from octoqueue.embedded.life_lock import LifeLock
from tests.servers import wait_until_free

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_FOR_INPUT = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def lock(tmp_path: Path) -> LifeLock:
    return LifeLock(tmp_path / "server.lock")


@pytest.fixture
def server(lock: LifeLock) -> Iterator[subprocess.Popen[bytes]]:
    """A process that inherited the lock."""
    with lock.taken() as descriptor:
        assert descriptor is not None
        process = subprocess.Popen(WAIT_FOR_INPUT, stdin=subprocess.PIPE, pass_fds=(descriptor,))
        lock.name_holder(descriptor, process.pid)
    with process:
        yield process
        process.kill()


def test_a_lock_nobody_took_is_free(lock: LifeLock) -> None:
    assert lock.holder() is None
    with lock.taken() as descriptor:
        assert descriptor is not None


def test_one_taker_at_a_time(lock: LifeLock) -> None:
    with lock.taken() as first, lock.taken() as second:
        assert first is not None
        assert second is None
    with lock.taken() as again:
        assert again is not None


def test_a_process_that_inherited_the_lock_holds_it(
    lock: LifeLock, server: subprocess.Popen[bytes]
) -> None:
    assert lock.holder() == server.pid
    with lock.taken() as descriptor:
        assert descriptor is None


def test_the_lock_is_free_when_its_holder_was_killed(
    lock: LifeLock, server: subprocess.Popen[bytes]
) -> None:
    server.kill()
    server.wait()
    wait_until_free(lock)
    assert lock.holder() is None


def test_a_child_of_the_holder_holds_on(lock: LifeLock) -> None:
    """As the processes of a PostgreSQL whose first process was killed."""
    fork = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '60'], close_fds=False)\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with lock.taken() as descriptor:
        assert descriptor is not None
        parent = subprocess.Popen(
            [sys.executable, "-c", fork],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(descriptor,),
        )
        lock.name_holder(descriptor, parent.pid)
    with parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        assert lock.holder() == parent.pid
        subprocess.run(["kill", "-9", str(child)], check=True)
        wait_until_free(lock)


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    (tmp_path / "server.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"), LifeLock(tmp_path / "server.lock").taken():
        pass
