"""Where an instance lives on disk, and whether that place can be trusted.

A directory is trusted when it really is one (not a link somebody planted), belongs to the expected
user and can be written by nobody else. Directories made here are private; one that exists already
is judged, never changed, because it may be somebody's home.

The weakness: only the directory itself is judged, not who can rename its parents.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from octoqueue.errors import ConfigError, EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT_STATE = Path("/var/lib/octoqueue")
"""Root's instances live here: PostgreSQL runs as another account, which cannot enter /root."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def default_state_dir(name: str, *, environ: Mapping[str, str]) -> Path:
    """Return where the instance `name` lives when no directory is configured.

    `$XDG_STATE_HOME/octoqueue/<name>`; without that variable `/var/lib/octoqueue/<name>` for root
    and `~/.local/state/octoqueue/<name>` for everyone else.

    Raises:
        ConfigError: `name` is no plain file name, or this user has no home directory.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"embedded.name: {name!r} is not usable as a directory name: letters, digits, '.', '_' "
            "and '-' only, beginning with a letter or digit, 64 at most",
            key="embedded.name",
        )
    state_home = Path(environ.get("XDG_STATE_HOME", ""))
    if state_home.is_absolute():  # the specification: a relative path is to be ignored
        return state_home / "octoqueue" / name
    if os.geteuid() == 0:
        return ROOT_STATE / name
    return _home(environ) / ".local" / "state" / "octoqueue" / name


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME", "")
    if not home:
        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            raise ConfigError(
                f"user {os.geteuid()} has no home directory: configure embedded.state_dir",
                key="embedded.state_dir",
            ) from None
    return Path(home)


def make_private(path: Path, *, mode: int = 0o700, owner: int | None = None) -> Path:
    """Create `path` with its parents, or see that what is there can be trusted; return it resolved.

    Raises:
        EmbeddedError: it cannot be made, belongs to somebody else, or others can write to it.
    """
    owner = os.geteuid() if owner is None else owner
    try:
        path = path.resolve()
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"{path} cannot be made: {error.strerror}") from error
    if reason := distrust(path, owner=owner):
        raise EmbeddedError(f"{path} {reason}")
    return path


def distrust(path: Path, *, owner: int) -> str:
    """Return why the directory `path` cannot be trusted, empty when it can."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return "is not a directory"
    if found.st_uid != owner:
        return f"belongs to user {found.st_uid}, not to user {owner}"
    if found.st_mode & _WRITABLE_BY_OTHERS:
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):o}): chmod go-w it"
    return ""
