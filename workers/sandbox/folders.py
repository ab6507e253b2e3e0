"""A command's own folder: made for it, and deleted whatever it left in there.

What a command leaves can be locked, deeper than any recursion, or large, so anything but our own
files is deleted by a program that minds none of it, in a process of its own.
"""

# ruff: noqa: PTH102, PTH106, PTH108, PTH118, PTH123 - pathlib would double what the
# launcher imports

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHELL: Final = "/bin/sh"
_DELETE: Final = 'chmod -R u+rwx "$1" 2>/dev/null; exec rm -rf "$1"'


def make_folder(folder: str, files: Mapping[str, str], *, user: int | None) -> None:
    """Make a folder that holds `files` and belongs to `user`, None for the caller's own.

    Raises:
        OSError: it cannot be made.
    """
    os.mkdir(folder, 0o700)
    paths = [os.path.join(folder, name) for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        with open(path, "x", encoding="utf-8", errors="replace") as file:
            file.write(text)
    if user is not None:
        for path in (*paths, folder):
            os.chown(path, user, user)


def delete_folder(folder: str, files: Mapping[str, str]) -> int | None:
    """Delete a folder that should hold `files` at most.

    When it holds more, return the process that deletes it; it is the caller's to wait for.
    """
    try:
        for name in files:
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)
    except FileNotFoundError:
        if not os.path.lexists(folder):
            return None
    except OSError:
        pass
    else:
        return None
    return os.posix_spawn(_SHELL, ["sh", "-c", _DELETE, "sh", folder], {"PATH": "/usr/bin:/bin"})


def delete_now(folder: str) -> None:
    """Delete a folder and wait until it is gone."""
    process = delete_folder(folder, {})
    if process is not None:
        os.waitpid(process, 0)
