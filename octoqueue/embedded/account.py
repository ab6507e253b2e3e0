"""Who PostgreSQL runs as when octoqueue runs as root.

PostgreSQL refuses root. No account is created and no existing permission is widened for it: the
server runs as the account `octoqueue` where the machine has one, else as `nobody`. What that
account must reach but cannot (a virtual environment or a state directory below /root, which is
0700) is kept on common ground instead: `/var/lib/octoqueue`, or a directory of root's in the
temporary folder.

The weakness: permission bits are read, access control lists and security modules are not.
"""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from octoqueue.embedded import state_dir
from octoqueue.errors import EmbeddedError

_CANDIDATES = ("octoqueue", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of this machine to start a server as."""

    name: str
    uid: int
    gid: int

    def can(self, path: Path, permission: int) -> bool:
        """Return whether this account has `permission` (`os.R_OK | os.X_OK`) on `path`.

        That needs every directory above it to be passable as well. False when it does not exist.
        """
        try:
            path = path.resolve(strict=True)
            above = (self._has(parent, os.X_OK) for parent in path.parents)
            return self._has(path, permission) and all(above)
        except OSError:
            return False

    def _has(self, path: Path, permission: int) -> bool:
        found = path.stat()
        shift = 6 if found.st_uid == self.uid else 3 if found.st_gid == self.gid else 0
        return stat.S_IMODE(found.st_mode) >> shift & permission == permission


def stand_in_for_root(home: Path) -> Account | None:
    """Return who is to run a server with its data in `home`; None when this process is not root.

    The account that already owns the data goes on owning it.

    Raises:
        EmbeddedError: root, and this machine has no suitable account.
    """
    if os.geteuid() != 0:
        return None
    if home.is_dir() and (owner := home.stat().st_uid) != 0:
        try:
            return _account(pwd.getpwuid(owner))
        except KeyError:
            raise EmbeddedError(f"{home} belongs to user {owner}, who has no account") from None
    for name in _CANDIDATES:
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    raise EmbeddedError(
        "PostgreSQL does not run as root and this machine has no account 'nobody' to run it as; "
        "run octoqueue as an ordinary user or set OCTOQUEUE_POSTGRES_URL"
    )


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def common_ground(purpose: str) -> Path:
    """Return a directory of root's that every account can enter and only root can write.

    Its name is `purpose`; different purposes have different directories.

    Raises:
        EmbeddedError: there is none and none can be made.
    """
    reasons: list[str] = []
    for place in (state_dir.ROOT_STATE, Path(tempfile.gettempdir()) / "octoqueue-root"):
        try:
            for directory in (place, place / purpose):
                state_dir.make_private(directory, mode=0o755)
                directory.chmod(0o755)  # a strict umask had its say in mkdir
        except (EmbeddedError, OSError) as error:
            reasons.append(str(error))
        else:
            return place / purpose
    raise EmbeddedError("no place for what PostgreSQL must reach: " + "; ".join(reasons))
