"""Where the socket of a server is.

Beside its data when it can be. A socket's path has at most 107 bytes on Linux and 103 elsewhere,
and connection strings and PostgreSQL's list settings give a meaning to commas, quotes and the like.
When the path is longer than that or has anything unusual in it, the socket is put in a fresh
private directory below /tmp, and a link in the state directory says where. Nobody can plant that
directory: its name is random, and it is used again only while it is a real directory of the right
owner that nobody else can enter.

The weakness: who empties /tmp while the server runs makes it unreachable until it is ended.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from octoqueue.embedded.state_dir import distrust

if TYPE_CHECKING:
    from octoqueue.embedded.account import Account

LONGEST_PATH_BYTES = 103
"""What every POSIX system of today allows."""

_LONGEST_NAME = ".s.PGSQL.5432"
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")


class SocketPlace:
    """The directory that holds the socket of one server."""

    def __init__(self, home: Path, *, pointer: Path, account: Account | None = None) -> None:
        self._home = home
        self._pointer = pointer
        self._account = account

    def find(self) -> Path | None:
        """Return the directory, None when it is to be made first."""
        if _is_usable(self._home):
            return self._home
        try:
            place = Path(self._pointer.readlink())
            found = place.lstat()
        except OSError:
            return None
        owner = os.geteuid() if self._account is None else self._account.uid
        is_private = stat.S_IMODE(found.st_mode) == stat.S_IRWXU
        return place if is_private and not distrust(place, owner=owner) else None

    def make(self) -> Path:
        """Return the directory, made if it has to be. Call it with the server's lock held."""
        if place := self.find():
            return place
        place = Path(tempfile.mkdtemp(prefix="octoqueue-", dir=_short_parent()))
        if self._account is not None:
            os.chown(place, self._account.uid, self._account.gid)
        self._pointer.unlink(missing_ok=True)
        self._pointer.symlink_to(place)
        return place


def _is_usable(directory: Path) -> bool:
    longest = str(directory / _LONGEST_NAME)
    return len(os.fsencode(longest)) <= LONGEST_PATH_BYTES and bool(_PLAIN.fullmatch(longest))


def _short_parent() -> Path:
    """Return /tmp rather than $TMPDIR, which may itself be long and differs between processes."""
    parent = Path("/tmp")  # noqa: S108 - mkdtemp makes a private directory in it
    return parent if parent.is_dir() else Path(tempfile.gettempdir())
