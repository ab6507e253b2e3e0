"""`LifeLock`: a file that stays locked for as long as any process of a server lives.

The lock (`flock`) belongs to the open file, not to a process. The starter takes it and lets the
server inherit the open file; when the starter closes its own copy, the server and its children hold
it, and the kernel drops it with the last of them, also after `kill -9`. So a free lock proves that
nothing is running, which a pid never does.

The weakness: a process forked (without exec) from the starter in the moment of starting inherits
the file as well, and then outlives the server as a holder. Nothing in octoqueue forks so.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


class LifeLock:
    """The lock file of one server; its content is the pid of the server."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def taken(self) -> Generator[int | None]:
        """Give the locked file descriptor to inherit, or None when some process holds the lock.

        On leaving, this process lets go; the lock stays with whoever inherited it.
        """
        descriptor = self._open()
        try:
            yield descriptor if _lock(descriptor) else None
        finally:
            os.close(descriptor)

    def name_holder(self, descriptor: int, pid: int) -> None:
        """Write down which process now owns the lock."""
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % pid, 0)

    def holder(self) -> int | None:
        """Return the pid of the living server, None when nothing lives or it is not yet known."""
        if not self.is_held():
            return None
        text = self._path.read_bytes().strip()
        return int(text) if text.isdigit() else None

    def is_held(self) -> bool:
        """Return whether any process of the server lives."""
        if not self._path.exists():
            return False
        with self.taken() as descriptor:
            return descriptor is None

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
